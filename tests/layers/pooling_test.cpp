// SPDX-License-Identifier: Apache-2.0
#include "crema/layers/pooling.hpp"

#include "check_layer.hpp"

using namespace crema;
using namespace crema_test;

namespace {
LayerSpec pool(const PoolingOptions& o) { return layer("Pooling", "pool", {"x"}, {"y"}, o); }

/// Distinct values in a scrambled order, so that no maximum is near another.
std::vector<double> distinct(const Shape& s) {
  std::vector<double> v(static_cast<std::size_t>(s.size()));
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = static_cast<double>(i * 7919 % v.size()) / 64;
  return v;
}
}  // namespace

TEST_CASE("Pooling holds the layer contract", "[layers]") {
  struct Case {
    PoolingOptions options;
    Shape bottom;
  };
  for (const Case& c : {
           Case{{.kernel_size = 2, .stride = 2}, {3, 2, 8, 8}},
           Case{{.kernel_size = 3, .stride = 2}, {17, 3, 7, 8}},
           Case{{.kernel_size = 3, .stride = 2, .pad = 1}, {5, 2, 9, 6}},
           Case{{.kernel_size = 4, .stride = 1, .pad = 2}, {2, 3, 5, 5}},
           Case{{.stride = 2, .kernel_h = 2, .kernel_w = 3, .stride_h = 1, .stride_w = 3}, {4, 1, 5, 9}},
           Case{{.kernel_size = 2, .stride = 3}, {2, 2, 8, 8}},
           Case{{.global_pooling = true}, {2, 3, 17, 18}},
           Case{{.kernel_size = 10, .stride = 1}, {1, 1, 20, 19}},  // more than 64 windows hold a pixel
       })
    for (const PoolMethod m : {PoolMethod::max, PoolMethod::ave}) {
      PoolingOptions o = c.options;
      o.pool = m;
      INFO((m == PoolMethod::max ? "MAX " : "AVE ") << c.bottom[2]);
      check_layer<Pooling>(
          {.spec = pool(o), .bottom = {c.bottom}, .values = {distinct(c.bottom)}, .samples = 30});
    }
}

TEST_CASE("Pooling rounds up, and drops a window that begins in the padding", "[layers]") {
  const auto side = [](PoolingOptions o, std::int64_t in) {
    return Pooling<float, Cpu>::plan(pool(o), std::vector{Shape{1, 1, in, in}}).top[0].shape[2];
  };
  CHECK(side({.kernel_size = 3, .stride = 2}, 10) == 5);
  CHECK(side({.kernel_size = 3, .stride = 2, .round_mode = RoundMode::floor}, 10) == 4);
  CHECK(side({.kernel_size = 2, .stride = 2, .pad = 1}, 3) == 2);  // 3 without the rule
  CHECK(side({.kernel_size = 3, .stride = 2}, 32) == 16);
  CHECK(side({.global_pooling = true}, 9) == 1);
}

TEST_CASE("Pooling of hand-computed images", "[layers]") {
  const auto run = [](PoolingOptions o, const Shape& s, const std::vector<double>& x,
                      std::vector<std::string> tops = {"y"}) {
    LayerSpec spec = pool(o);
    spec.top = tops;
    LayerCase c{.spec = spec, .bottom = {s}};
    LayerRun forward{.order = Order::native, .isa = best_isa()};
    forward.backward = false;
    return LayerHarness<double>(std::in_place_type<Pooling<double, Cpu>>, c, forward)({x}, {}).top;
  };
  // The average divides by the window in the padded image: corner windows of 1, 2, 4, 5 with pad 1 divide
  // by 9.
  const auto ave = run({.pool = PoolMethod::ave, .kernel_size = 3, .stride = 2, .pad = 1}, {1, 1, 3, 3},
                       {1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK(ave[0][0] == Approx(12.0 / 9));
  CHECK(ave[0][3] == Approx((5.0 + 6 + 8 + 9) / 9));
  // A window past the padded edge is clipped to it: in = 4, kernel 3, stride 2: the last window holds one
  // column of two.
  const auto clipped =
      run({.pool = PoolMethod::ave, .kernel_size = 3, .stride = 2}, {1, 1, 4, 4}, std::vector<double>(16, 3));
  CHECK(clipped[0] == std::vector<double>{3, 3, 3, 3});
  // Ties: the first wins, seen in the mask.
  const auto max =
      run({.kernel_size = 2, .stride = 2}, {1, 1, 2, 4}, {5, 5, 1, 2, 5, 5, 2, 1}, {"y", "mask"});
  CHECK(max[0] == std::vector<double>{5, 2});
  CHECK(max[1] == std::vector<double>{0, 3});
}

TEST_CASE("Pooling says what is wrong with its options", "[layers]") {
  const auto fails = [](PoolingOptions o, Shape bottom, const std::string& message) {
    CHECK_THROWS_WITH((Pooling<float, Cpu>::plan(pool(o), std::vector{bottom})), Catch::Contains(message));
  };
  fails({}, {1, 1, 5, 5}, "needs a kernel_size");
  fails({.kernel_size = 2, .stride = 0}, {1, 1, 5, 5}, "stride");
  fails({.kernel_size = 2, .pad = 2}, {1, 1, 5, 5}, "pad 2 must be below");
  fails({.kernel_size = 6}, {1, 1, 5, 5}, "does not fit");
  fails({.pool = PoolMethod::stochastic, .kernel_size = 2}, {1, 1, 5, 5}, "STOCHASTIC");
  fails({.kernel_size = 2, .global_pooling = true}, {1, 1, 5, 5}, "global_pooling");
  fails({.kernel_size = 2, .kernel_h = 2}, {1, 1, 5, 5}, "not both");
  fails({.kernel_size = 2}, {1, 5}, "N x C x H x W");
  check_arity<Pooling>(pool({.kernel_size = 1}), {1, 1, 2, 2}, 1, 1);
}
