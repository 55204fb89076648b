// SPDX-License-Identifier: Apache-2.0
#include "crema/core/random.hpp"

#include "catch.hpp"
#include "crema/core/dropout_mask.hpp"

using namespace crema;

TEST_CASE("Philox4x32-10 gives Random123's known answers", "[core]") {
  CHECK(philox({0, 0, 0, 0}, {0, 0}) == Counter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}) == Counter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Counter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("names and seeds make different keys", "[core]") {
  CHECK(hash_name("") == 0xcbf29ce484222325ull);
  CHECK(hash_name("a") == 0xaf63dc4c8601ec8cull);  // FNV-1a's published value
  CHECK(random_key(1, "conv1") == random_key(1, "conv1"));
  CHECK(random_key(1, "conv1") != random_key(2, "conv1"));
  CHECK(random_key(1, "conv1") != random_key(1, "conv2"));
}

TEST_CASE("uniform and normal numbers have their moments", "[core]") {
  CHECK(uniform(0) == 0);
  CHECK(uniform(~0u) < 1);
  double mean = 0, square = 0, normal_mean = 0, normal_square = 0;
  const int n = 20000;
  for (std::uint32_t i = 0; i < n; ++i) {
    const Counter c = philox({i, 0, 0, 0}, {3, 4});
    const double u = uniform(c[0]), z = normal(c[1], c[2]);
    mean += u / n, square += u * u / n, normal_mean += z / n, normal_square += z * z / n;
  }
  CHECK(mean == Approx(0.5).margin(0.01));
  CHECK(square == Approx(1 / 3.).margin(0.01));
  CHECK(normal_mean == Approx(0).margin(0.03));
  CHECK(normal_square == Approx(1).margin(0.04));
  CHECK(std::isfinite(normal(0, 0)));
  CHECK(std::isfinite(normal(~0u, ~0u)));
}

TEST_CASE("a dropout mask's threshold drops the ratio it was asked for", "[core]") {
  CHECK(dropout_mask({}, 0, 0, 0).threshold == 0);
  CHECK(dropout_mask({}, 0, 0, 0.5).threshold == 0x80000000u);
  CHECK(dropout_mask({}, 0, 0, 0.5).scale == 2);
  const std::uint32_t t = dropout_mask({}, 0, 0, 0.3).threshold;
  CHECK(uniform(t) >= 0.3);
  CHECK(uniform(t - 1) < 0.3);
}
