// SPDX-License-Identifier: Apache-2.0
// main() of every test binary, compiled once (Catch2 v2 takes 20 s for it).
#if __has_include(<catch2/catch_session.hpp>)
#include <catch2/catch_session.hpp>
int main(int argc, char** argv) { return Catch::Session().run(argc, argv); }
#else
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
#endif
