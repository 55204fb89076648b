// SPDX-License-Identifier: Apache-2.0
#include "crema/train/json.hpp"

#include <limits>
#include <vector>

#include "catch.hpp"

using namespace crema;

TEST_CASE("a JSON object has its members in order, on one line", "[train]") {
  const std::vector<int> none;
  const std::vector<std::string> names = {"a", "b"};
  CHECK(Json().text() == "{}");
  CHECK(
      Json()
          .add("event", "step")
          .add("iteration", 100)
          .add("loss", 0.1)
          .add("done", false)
          .add("names", names)
          .add("none", none)
          .add("inner", Json().add("x", 1u))
          .text() ==
      R"({"event":"step","iteration":100,"loss":0.1,"done":false,"names":["a","b"],"none":[],"inner":{"x":1}})");
}

TEST_CASE("text is quoted as JSON wants it", "[train]") {
  CHECK(Json().add("why", "a \"b\" \\ c\nd\te\x01 \xc3\xa4").text() ==
        "{\"why\":\"a \\\"b\\\" \\\\ c\\nd\\u0009e\\u0001 \xc3\xa4\"}");
}

TEST_CASE("numbers that JSON does not have are null", "[train]") {
  CHECK(Json()
            .add("a", std::numeric_limits<double>::infinity())
            .add("b", std::numeric_limits<float>::quiet_NaN())
            .text() == R"({"a":null,"b":null})");
}
