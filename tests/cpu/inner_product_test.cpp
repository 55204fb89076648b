// SPDX-License-Identifier: Apache-2.0
#include "crema/cpu/cpu.hpp"

#include <atomic>

#include "catch.hpp"
#include "crema/core/random.hpp"
#include "every_isa.hpp"

using namespace crema;

namespace {

/// A native blob of random values, zero in its dead lanes.
template <class T>
struct Blob {
  Shape shape;
  Buffer<T, Cpu> memory;
  View<T, Cpu> view;
  Blob(Cpu& cpu, const Shape& s, std::uint32_t key)
      : shape(s), memory(cpu, static_cast<std::size_t>(storage_size(s, dense_layout(s, Order::native)))) {
    view = {memory.data(), s, dense_layout(s, Order::native)};
    std::vector<T> values(static_cast<std::size_t>(s.size()));
    for (std::uint32_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<T>(uniform(philox({i, 0, 0, 0}, {key, 0})[0]) - 0.5);
    convert(cpu, View<const T, Cpu>{values.data(), s, {}}, view, {.dead_lanes = DeadLanes::zero});
  }
  std::vector<T> bits() const { return {memory.data(), memory.data() + memory.size()}; }
};

}  // namespace

TEMPLATE_TEST_CASE("One pass over the weights has the bits of two", "[cpu]", float, double) {
  using T = TestType;
  struct Case {
    Shape bottom;
    std::int64_t outputs;
  };
  for (const Isa isa : every_isa())
    for (const int threads : {1, 3})
      for (const Case& c : {Case{{1, 1}, 1}, Case{{5, 37}, 29}, Case{{33, 70}, 15}, Case{{16, 3, 5, 7}, 31},
                            Case{{50, 601}, 28}, Case{{20, 30, 6, 6}, 43}})
        for (const bool add : {false, true}) {
          CAPTURE(name_of(isa), threads, c.outputs, c.bottom.count(1), add);
          Cpu cpu({.threads = threads, .isa = isa});
          const std::int64_t depth = c.bottom.count(1);
          Blob<T> x(cpu, c.bottom, 1), dy(cpu, {c.bottom[0], c.outputs}, 2), dx(cpu, c.bottom, 3),
              once(cpu, c.bottom, 3);
          std::vector<T> w(static_cast<std::size_t>(c.outputs * depth)), dw(w.size()), pieces(w.size(), T(7));
          for (std::size_t i = 0; i < w.size(); ++i) w[i] = static_cast<T>(i % 13) - 6;
          std::vector<T> scratch(
              static_cast<std::size_t>(inner_product_scratch(cpu, c.bottom, c.outputs, x.view.layout)) + 32);
          const auto bytes = std::as_writable_bytes(std::span(scratch));
          inner_product_backward_data<T>(cpu, dy.view, w.data(), false, dx.view, add);
          inner_product_backward_weights<T>(cpu, x.view, dy.view, false, dw.data(), false, nullptr, false,
                                            bytes);

          // Weights change as soon as their gradient is handed on: whoever reads them again shows it.
          std::atomic<std::size_t> taken{0};
          inner_product_backward<T>(cpu, x.view, dy.view, w.data(), once.view, add, bytes, w.data(),
                                    [&](std::int64_t first, std::span<const T> piece) {
                                      std::copy(piece.begin(), piece.end(), pieces.begin() + first);
                                      std::fill_n(w.begin() + first, piece.size(), T(1e30));
                                      taken += piece.size();
                                    });
          CHECK(taken == w.size());
          CHECK(pieces == dw);
          CHECK(once.bits() == dx.bits());
        }
}
