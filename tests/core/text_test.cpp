// SPDX-License-Identifier: Apache-2.0
#include "crema/core/text.hpp"

#include <cmath>

#include "catch.hpp"

using namespace crema;

TEST_CASE("cat joins text and numbers", "[core]") {
  const char* const pointer = "pointer";
  const std::string owned = "owned";
  CHECK(cat("literal ", pointer, ' ', owned, std::string_view(" view")) == "literal pointer owned view");
  CHECK(cat(-3, " ", 7u, " ", std::int64_t{1} << 40, " ", true, false) == "-3 7 1099511627776 truefalse");
  CHECK(cat() == "");
}

TEST_CASE("numbers print in the shortest form that reads back", "[core]") {
  CHECK(cat(0.1) == "0.1");
  CHECK(cat(0.1f) == "0.1");
  CHECK(cat(1e300) == "1e+300");
  for (const float x : {0.1f, 1 / 3.f, 3.4028235e38f, 1e-45f, -0.f}) {
    float back = 1;
    CHECK(parse_number(cat(x), back));
    CHECK(back == x);
    CHECK(std::signbit(back) == std::signbit(x));
  }
}

TEST_CASE("parse_number takes all of the text or nothing", "[core]") {
  int i = 0;
  CHECK(parse_number("42", i));
  CHECK(i == 42);
  CHECK(parse_number("+7", i));
  CHECK(i == 7);
  CHECK(parse_number("-7", i));
  CHECK(i == -7);
  for (const char* bad : {"", "+", "+-5", "++5", "x", "4 ", " 4", "4x", "99999999999", "4.5"})
    CHECK_FALSE(parse_number(bad, i));
  unsigned u = 0;
  CHECK_FALSE(parse_number("-1", u));
  double d = 0;
  CHECK(parse_number("1e-3", d));
  CHECK(d == 1e-3);
  CHECK_FALSE(parse_number("1e999", d));
}
