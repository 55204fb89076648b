// SPDX-License-Identifier: Apache-2.0
#include "crema/layers/softmax_with_loss.hpp"

#include "check_layer.hpp"

using namespace crema;
using namespace crema_test;

namespace {
std::vector<double> labels(std::int64_t n, int classes) {
  std::vector<double> v;
  for (std::int64_t i = 0; i < n; ++i) v.push_back(static_cast<double>(i * 7 % classes));
  return v;
}
LayerSpec loss(const LossOptions& o = {}) {
  return layer("SoftmaxWithLoss", "loss", {"x", "l"}, {"loss"}, o);
}
}  // namespace

TEST_CASE("SoftmaxWithLoss holds the layer contract", "[layers]") {
  for (const Shape& s : {Shape{19, 10}, Shape{3, 5, 2, 3}, Shape{33, 4, 1, 1}}) {
    const Shape l = s.rank() == 4 ? Shape{s[0], 1, s[2], s[3]} : Shape{s[0]};
    check_layer<SoftmaxWithLoss>(
        {.spec = loss(), .bottom = {s, l}, .values = {{}, labels(l.size(), static_cast<int>(s[1]))}});
    check_layer<SoftmaxWithLoss>({.spec = loss({.ignore_label = 2}),
                                  .bottom = {s, l},
                                  .values = {{}, labels(l.size(), static_cast<int>(s[1]))}});
  }
  LayerSpec two = loss();
  two.top.push_back("prob");
  check_layer<SoftmaxWithLoss>({.spec = two, .bottom = {{5, 4}, {5}}, .values = {{}, labels(5, 4)}});
  check_arity<SoftmaxWithLoss>(loss(), {2, 3}, 2, 2);
}

TEST_CASE("SoftmaxWithLoss divides by Caffe's normaliser", "[layers]") {
  const std::vector<double> zeros(4 * 10 * 3, 0), l{1, 2, 255, 4, 5, 6, 7, 8, 9, 0, 1, 255};
  const auto weight = [&](LossOptions o) {
    const auto r = forward_once<SoftmaxWithLoss>(loss(o), {{4, 10, 1, 3}, {4, 1, 1, 3}}, {zeros, l});
    CHECK(r.loss[0].sum == Approx(10 * std::log(10.0)));
    CHECK(r.top[0][0] == Approx(r.loss[0].value()));
    return r.loss[0].weight;
  };
  CHECK(weight({.ignore_label = 255}) == 10);
  CHECK(weight({.ignore_label = 255, .normalization = Normalization::full}) == 12);
  CHECK(weight({.ignore_label = 255, .normalization = Normalization::batch_size}) == 4);
  CHECK(weight({.ignore_label = 255, .normalization = Normalization::none}) == 1);
  CHECK(weight({.ignore_label = 255, .normalize = false}) == 4);
  CHECK(weight({.ignore_label = 255, .normalize = true}) == 10);
  CHECK(weight({.ignore_label = 255, .normalize = false, .normalization = Normalization::valid}) == 10);
}

TEST_CASE("SoftmaxWithLoss stops at Caffe's ceiling of 87.3365", "[layers]") {
  CHECK(forward_once<SoftmaxWithLoss>(loss(), {{1, 2}, {1}}, {{0, 1000}, {0}}).loss[0].sum ==
        Approx(87.3365447505));
}

TEST_CASE("a label out of range names sample, label and classes", "[layers]") {
  for (const double bad : {-1.0, 3.0, 1e9, 0.5})
    CHECK_THROWS_WITH(
        forward_once<SoftmaxWithLoss>(loss(), {{2, 3}, {2}}, {std::vector<double>(6), {0, bad}}),
        Catch::Contains("sample 1") && Catch::Contains("3 classes"));
  CHECK_THROWS_WITH((SoftmaxWithLoss<float, Cpu>::plan(loss(), std::vector{Shape{4, 3}, Shape{3}})),
                    Catch::Contains("want 4 labels"));
}
