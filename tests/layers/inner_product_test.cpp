// SPDX-License-Identifier: Apache-2.0
#include "crema/layers/inner_product.hpp"

#include "check_layer.hpp"

using namespace crema;
using namespace crema_test;

namespace {
LayerSpec ip(const InnerProductOptions& o) { return layer("InnerProduct", "ip", {"x"}, {"y"}, o); }
}  // namespace

TEST_CASE("InnerProduct holds the layer contract", "[layers]") {
  struct Case {
    InnerProductOptions options;
    Shape bottom;
  };
  for (const Case& c : {
           Case{{.num_output = 7}, {5, 13}},
           Case{{.num_output = 10}, {64, 50}},
           Case{{.num_output = 9}, {48, 20}},
           Case{{.num_output = 3}, {40, 11}},
           Case{{.num_output = 19}, {17, 3, 4, 5}},
           Case{{.num_output = 1, .bias_term = false}, {33, 2, 1, 1}},
           Case{{.num_output = 40}, {3, 37, 1, 3}},
           Case{{.num_output = 6, .transpose = true}, {5, 3, 2, 2}},
           Case{{.num_output = 6, .axis = 2}, {3, 4, 5}},
           Case{{.num_output = 6, .axis = -1}, {3, 2, 2, 5}},
       }) {
    INFO("num_output " << c.options.num_output << ", rank " << c.bottom.rank());
    check_layer<InnerProduct>({.spec = ip(c.options), .bottom = {c.bottom}, .samples = 30});
  }
}

TEST_CASE("InnerProduct keeps the axes before its axis", "[layers]") {
  const auto plan =
      InnerProduct<float, Cpu>::plan(ip({.num_output = 6, .axis = 2}), std::vector{Shape{3, 4, 5, 2}});
  CHECK(plan.top[0].shape == Shape{3, 4, 6});
  CHECK(plan.params[0].shape == Shape{6, 10});
}

TEST_CASE("InnerProduct of hand-computed values, in Caffe's c, y, x order", "[layers]") {
  // Two channels of 1 x 2: weights 1, 10, 100, 1000 in c, y, x order.
  LayerCase c{.spec = ip({.num_output = 1}), .bottom = {{1, 2, 1, 2}}};
  for (const Order order : {Order::canonical, Order::native}) {
    LayerHarness<double> h(std::in_place_type<InnerProduct<double, Cpu>>, c, {.order = order});
    CHECK(h({{1, 2, 3, 4}}, {{1, 10, 100, 1000}, {0.5}}).top[0] == std::vector<double>{4321.5});
  }
}

TEST_CASE("InnerProduct says what is wrong with its options", "[layers]") {
  const auto fails = [](InnerProductOptions o, Shape bottom, const std::string& message) {
    CHECK_THROWS_WITH((InnerProduct<float, Cpu>::plan(ip(o), std::vector{bottom})), Catch::Contains(message));
  };
  fails({}, {1, 5}, "num_output");
  fails({.num_output = 1, .axis = 4}, {1, 5}, "axis 4");
  check_arity<InnerProduct>(ip({.num_output = 1}), {1, 2}, 1, 1);
}
