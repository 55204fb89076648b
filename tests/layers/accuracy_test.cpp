// SPDX-License-Identifier: Apache-2.0
#include "crema/layers/accuracy.hpp"

#include "check_layer.hpp"

using namespace crema;
using namespace crema_test;

TEST_CASE("Accuracy counts as Caffe does", "[layers]") {
  const auto acc = [](AccuracyOptions o, std::vector<double> scores, std::vector<double> l,
                      std::vector<std::string> tops = {"a"}) {
    LayerSpec s = layer("Accuracy", "acc", {"x", "l"}, tops, o);
    const auto n = static_cast<std::int64_t>(l.size());
    return forward_once<Accuracy>(s, {{n, static_cast<std::int64_t>(scores.size()) / n}, {n}}, {scores, l});
  };
  const std::vector<double> scores{3, 2, 1, 1, 3, 2, 1, 2, 3};
  CHECK(acc({}, scores, {0, 1, 0}).loss[0].value() == Approx(2.0 / 3));
  CHECK(acc({.top_k = 2}, scores, {1, 2, 0}).loss[0].value() == Approx(2.0 / 3));
  CHECK(acc({}, {5, 5, 1}, {0}).loss[0].value() == 0);  // a tie is wrong
  const Loss ignored = acc({.ignore_label = 1}, scores, {0, 1, 0}).loss[0];
  CHECK((ignored.sum == 1 && ignored.weight == 2));
  const auto per_class = acc({}, scores, {0, 0, 2}, {"a", "c"});
  CHECK(per_class.top[1] == std::vector<double>{0.5, 0, 1});
  CHECK_THROWS_WITH(acc({.top_k = 4}, scores, {0, 0, 0}), Catch::Contains("top_k 4"));
  CHECK_THROWS_AS(acc({}, scores, {0, 0, 3}), DataError);
}
