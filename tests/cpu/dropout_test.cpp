// SPDX-License-Identifier: Apache-2.0
#include "crema/cpu/dropout.hpp"

#include <vector>

#include "catch.hpp"
#include "crema/cpu/cpu.hpp"
#include "every_isa.hpp"

using namespace crema;

TEMPLATE_TEST_CASE("masks are those of scalar Philox, in both orders", "[cpu]", float, double) {
  using T = TestType;
  const Key key = random_key(5, "drop");
  const DropoutMask mask = dropout_mask(key, 0x100000007ull, 2, 0.4);
  const std::int64_t first_sample = 100;
  for (const Shape& shape : {Shape{19, 7, 3, 3}, Shape{3, 1100}, Shape{17, 2, 1, 5}, Shape{2, 3, 5}})
    for (const Isa isa : every_isa())
      for (const int threads : {1, 3})
        for (const Order order : {Order::canonical, Order::native}) {
          if (order == Order::native && !has_native_order(shape)) continue;
          CAPTURE(name_of(isa), threads, shape[0], shape[1], static_cast<int>(order));
          Cpu cpu({.threads = threads, .isa = isa});
          const Layout layout = dense_layout(shape, order);
          const auto n = static_cast<std::size_t>(storage_size(shape, layout));
          Buffer<T, Cpu> x(cpu, n), y(cpu, n);
          fill<T>(cpu, std::span(x.data(), n), 3);
          fill<T>(cpu, std::span(y.data(), n), 1);
          dropout<T>(cpu, View<const T, Cpu>{x.data(), shape, layout}, View<T, Cpu>{y.data(), shape, layout},
                     mask, first_sample, true);
          const std::int64_t size = shape.count(1);
          bool right = true;
          for (std::int64_t s = 0; s < shape[0]; ++s)
            for (std::int64_t e = 0; e < size; ++e) {
              const auto word = philox(
                  {static_cast<std::uint32_t>(e / 4), static_cast<std::uint32_t>(first_sample + s), 7, 2},
                  key)[static_cast<std::size_t>(e % 4)];
              const T want = 1 + (uniform(word) >= 0.4 ? 3 * static_cast<T>(1 / 0.6) : T(0));
              std::int64_t at = s * size + e;
              if (order == Order::native) {
                const std::int64_t h = height(shape), w = width(shape);
                at = native_index(shape, layout, s, e / (h * w), e / w % h, e % w);
              }
              right &= y.data()[at] == want;
            }
          CHECK(right);
        }
}

TEST_CASE("as many elements stay as the ratio says", "[cpu]") {
  Cpu cpu({.threads = 1});
  std::vector<float> x(100000, 1), y(x.size());
  const Shape shape{10, 10000};
  const auto kept = [&](double ratio, std::uint64_t iteration) {
    dropout<float>(cpu, View<const float, Cpu>{x.data(), shape, {}}, View<float, Cpu>{y.data(), shape, {}},
                   dropout_mask({1, 2}, iteration, 0, ratio), 0);
    double sum = 0;
    for (const float v : y) sum += v != 0;
    return sum / 1e5;
  };
  CHECK(kept(0.3, 0) == Approx(0.7).margin(0.006));
  CHECK(kept(0, 0) == 1);
  CHECK(kept(0.5, 1) == Approx(0.5).margin(0.006));
  const std::vector<float> second = y;
  kept(0.5, 2);
  CHECK(second != y);  // another iteration, another mask
  CHECK_THROWS_AS(dropout<float>(cpu, View<const float, Cpu>{x.data(), shape, {}},
                                 View<float, Cpu>{y.data(), Shape{10, 10}, {}}, {}, 0),
                  ShapeError);
}
