// SPDX-License-Identifier: Apache-2.0
#include "crema/core/error.hpp"

#include "catch.hpp"
#include "crema/core/cancel.hpp"

using namespace crema;

TEST_CASE("an error carries its message and its frames, innermost first", "[core]") {
  std::string what, message;
  try {
    try {
      try {
        throw SpecError("stride must be above 0");
      } catch (Error& e) {
        e.add_context("layer 'conv1' (Convolution)");
        throw;
      }
    } catch (Error& e) {
      e.add_context("lenet.prototxt:12:3");
      throw;
    }
  } catch (const SpecError& e) {  // still what it was
    what = e.what(), message = e.message();
  }
  CHECK(message == "stride must be above 0");
  CHECK(what == "stride must be above 0\n  in layer 'conv1' (Convolution)\n  in lenet.prototxt:12:3");
}

TEST_CASE("a host can catch everything at once, or by what it can do about it", "[core]") {
  CHECK_THROWS_AS(throw ShapeError("x"), Error);
  CHECK_THROWS_AS(throw CommError("x"), std::exception);
}

TEST_CASE("cancel throws only when it was asked to", "[core]") {
  Cancel cancel;
  cancel.check();
  CHECK_FALSE(cancel.requested());
  cancel.request();
  CHECK(cancel.requested());
  CHECK_THROWS_AS(cancel.check(), Cancelled);
}
