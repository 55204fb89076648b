// SPDX-License-Identifier: Apache-2.0
#include "crema/net/filler.hpp"

#include "catch.hpp"

using namespace crema;

namespace {
struct Moments {
  double mean = 0, variance = 0, low = 1e9, high = -1e9;
};
Moments moments(const std::vector<double>& v) {
  Moments m;
  for (const double x : v)
    m.mean += x / static_cast<double>(v.size()), m.low = std::min(m.low, x), m.high = std::max(m.high, x);
  for (const double x : v) m.variance += (x - m.mean) * (x - m.mean) / static_cast<double>(v.size());
  return m;
}
FillerSpec filler(std::string type) {
  FillerSpec f;
  f.type = std::move(type);
  return f;
}
}  // namespace

TEST_CASE("fillers draw from the distributions that Caffe documents", "[net]") {
  const Shape shape{100, 50, 3, 2};  // fan in 300, fan out 600
  FillerSpec f = filler("uniform");
  f.min = -2, f.max = 4;
  Moments m = moments(filled(f, shape, 1, "w"));
  CHECK(m.mean == Approx(1).margin(0.05));
  CHECK(m.variance == Approx(3).epsilon(0.03));
  CHECK((m.low >= -2 && m.high < 4));

  f = filler("gaussian"), f.mean = 1, f.std = 0.5;
  m = moments(filled(f, shape, 1, "w"));
  CHECK(m.mean == Approx(1).margin(0.01));
  CHECK(m.variance == Approx(0.25).epsilon(0.03));

  m = moments(filled(filler("xavier"), shape, 1, "w"));
  CHECK(m.high == Approx(0.1).epsilon(0.001));  // sqrt(3 / 300)
  CHECK(m.low == Approx(-0.1).epsilon(0.001));
  f = filler("msra"), f.variance_norm = VarianceNorm::fan_out;
  CHECK(moments(filled(f, shape, 1, "w")).variance == Approx(2.0 / 600).epsilon(0.03));
  f.variance_norm = VarianceNorm::average;
  CHECK(moments(filled(f, shape, 1, "w")).variance == Approx(2.0 / 450).epsilon(0.03));
}

TEST_CASE("sparse gaussian, unit ball and bilinear fillers", "[net]") {
  FillerSpec f = filler("gaussian");
  f.sparse = 15;
  int nonzero = 0;
  for (const double x : filled(f, {100, 784}, 3, "w")) nonzero += x != 0;
  CHECK(nonzero == Approx(0.15 * 78400).epsilon(0.05));

  const auto ball = filled(filler("positive_unitball"), {4, 10}, 3, "w");
  for (std::size_t r = 0; r < 4; ++r) {
    double sum = 0;
    for (std::size_t k = 0; k < 10; ++k) sum += ball[r * 10 + k];
    CHECK(sum == Approx(1));
  }
  // Caffe's 4 x 4 upsampling filter: f = 2, c = 0.75.
  const auto b = filled(filler("bilinear"), {1, 1, 4, 4}, 0, "w");
  const double side[] = {0.25, 0.75, 0.75, 0.25};
  for (std::size_t i = 0; i < 16; ++i) CHECK(b[i] == Approx(side[i / 4] * side[i % 4]));
  CHECK_THROWS_AS(filled(filler("bilinear"), {3, 4}, 0, "w"), SpecError);
  CHECK_THROWS_WITH(filled(filler("he"), {3, 4}, 0, "w"),
                    Catch::Contains("no filler type 'he'") && Catch::Contains("xavier"));
}

TEST_CASE("a parameter's values depend on seed and name alone", "[net]") {
  const FillerSpec f = filler("xavier");
  CHECK(filled(f, {5, 5}, 1, "conv1/weight") == filled(f, {5, 5}, 1, "conv1/weight"));
  CHECK(filled(f, {5, 5}, 1, "conv1/weight") != filled(f, {5, 5}, 2, "conv1/weight"));
  CHECK(filled(f, {5, 5}, 1, "conv1/weight") != filled(f, {5, 5}, 1, "conv2/weight"));
}
