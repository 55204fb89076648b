// SPDX-License-Identifier: Apache-2.0
// Runs the tests where there is a device; ends with 77, which ctest counts as skipped, where there is none.
#define CATCH_CONFIG_RUNNER
#include "catch.hpp"

#include <cstdio>

#include "crema/cuda/cuda.hpp"

int main(int argc, char** argv) {
  if (crema::Cuda::devices() == 0) {
    std::puts("skipped: no CUDA device, or no driver for it");
    return 77;
  }
  return Catch::Session().run(argc, argv);
}
