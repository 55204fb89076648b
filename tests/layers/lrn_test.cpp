// SPDX-License-Identifier: Apache-2.0
#include "crema/layers/lrn.hpp"

#include "check_layer.hpp"

using namespace crema;
using namespace crema_test;

namespace {
LayerSpec lrn(const LrnOptions& o) { return layer("LRN", "lrn", {"x"}, {"y"}, o); }
}  // namespace

TEST_CASE("LRN holds the layer contract in both regions", "[layers]") {
  for (const NormRegion region : {NormRegion::across_channels, NormRegion::within_channel})
    for (const float beta : {0.75f, 0.6f}) {
      INFO("region " << static_cast<int>(region) << ", beta " << beta);
      check_layer<Lrn>(
          {.spec = lrn({.local_size = 3, .alpha = 0.7f, .beta = beta, .norm_region = region, .k = 1.5f}),
           .bottom = {{18, 5, 4, 3}},
           .samples = 30});
      check_layer<Lrn>({.spec = lrn({.local_size = 5, .alpha = 2, .beta = beta, .norm_region = region}),
                        .bottom = {{3, 3, 6, 7}},
                        .samples = 30});
    }
  check_arity<Lrn>(lrn({}), {1, 1, 2, 2}, 1, 1);
}

TEST_CASE("LRN of hand-computed values", "[layers]") {
  const auto run = [](LrnOptions o, const Shape& s, std::vector<double> x) {
    LayerCase c{.spec = lrn(o), .bottom = {s}};
    LayerRun r{.order = Order::native, .isa = best_isa()};
    r.backward = false;
    return LayerHarness<double>(std::in_place_type<Lrn<double, Cpu>>, c, r)({x}, {}).top[0];
  };
  // Across 3 channels 1, 2, 3 with n = 3, alpha = 3, beta = 1, k = 2: 1 / (2 + 5), 2 / (2 + 14), 3 / (2 +
  // 13).
  const auto across = run({.local_size = 3, .alpha = 3, .beta = 1, .k = 2}, {1, 3, 1, 1}, {1, 2, 3});
  CHECK(across[0] == Approx(1.0 / 7));
  CHECK(across[1] == Approx(2.0 / 16));
  CHECK(across[2] == Approx(3.0 / 15));
  // Within a channel of 1 x 2 pixels, n = 3: the sum is divided by 9 whatever the edge, and k is not used.
  const auto within =
      run({.local_size = 3, .alpha = 9, .beta = 1, .norm_region = NormRegion::within_channel, .k = 50},
          {1, 1, 1, 2}, {1, 2});
  CHECK(within[0] == Approx(1.0 / 6));
  CHECK(within[1] == Approx(2.0 / 6));
}

TEST_CASE("LRN says what is wrong with its options", "[layers]") {
  CHECK_THROWS_WITH((Lrn<float, Cpu>::plan(lrn({.local_size = 4}), std::vector{Shape{1, 1, 2, 2}})),
                    Catch::Contains("must be odd"));
  CHECK_THROWS_WITH((Lrn<float, Cpu>::plan(lrn({}), std::vector{Shape{1, 3}})),
                    Catch::Contains("N x C x H x W"));
}
