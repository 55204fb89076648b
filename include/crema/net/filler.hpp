// SPDX-License-Identifier: Apache-2.0
// Fillers: Caffe's seven ways of making initial weights, drawn by Philox from (seed, parameter name,
// element), so that a layer's weights do not depend on which layers stand around it.
//
//   constant            value
//   uniform             U(min, max)
//   gaussian            N(mean, std); with sparse = s >= 0 each weight is kept with probability s / shape[0]
//   xavier              U(-s, s), s = sqrt(3 / n)
//   msra                N(0, sqrt(2 / n))
//   positive_unitball   U(0, 1), each row (axis 0) scaled to sum 1
//   bilinear            the upsampling weights of a Deconvolution
//
// n by variance_norm: fan_in = count / shape[0], fan_out = count / shape[1], average of both.
#pragma once

#include <cmath>
#include <string_view>
#include <vector>

#include "crema/core/random.hpp"
#include "crema/spec/layer_spec.hpp"

namespace crema::inline CREMA_ABI {

/// The initial values of one parameter. Throws SpecError for an unknown type or a shape the type cannot fill.
CREMA_INLINE std::vector<double> filled(const FillerSpec& f, const Shape& shape, std::uint64_t seed,
                                        std::string_view name);
#if CREMA_BODIES
CREMA_INLINE std::vector<double> filled(const FillerSpec& f, const Shape& shape, std::uint64_t seed,
                                        std::string_view name) {
  std::vector<double> w(static_cast<std::size_t>(shape.size()), 0);
  const Key key = random_key(seed, name);
  const auto words = [&](std::size_t i) {
    return philox({static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(i >> 32), 0, 0}, key);
  };
  const auto draw_uniform = [&](double low, double high) {
    for (std::size_t i = 0; i < w.size(); ++i) w[i] = low + (high - low) * uniform(words(i)[0]);
  };
  const auto draw_normal = [&](double mean, double std) {
    for (std::size_t i = 0; i < w.size(); ++i) w[i] = mean + std * normal(words(i)[0], words(i)[1]);
  };
  const auto fan = [&] {
    const double count = static_cast<double>(shape.size());
    const double in = shape.rank() > 0 ? count / static_cast<double>(shape[0]) : 1;
    const double out = shape.rank() > 1 ? count / static_cast<double>(shape[1]) : in;
    return f.variance_norm == VarianceNorm::fan_in    ? in
           : f.variance_norm == VarianceNorm::fan_out ? out
                                                      : (in + out) / 2;
  };
  if (w.empty()) return w;
  if (f.type == "constant") {
    for (double& x : w) x = f.value;
  } else if (f.type == "uniform") {
    draw_uniform(f.min, f.max);
  } else if (f.type == "gaussian") {
    draw_normal(f.mean, f.std);
    if (f.sparse >= 0) {
      const double keep = f.sparse / static_cast<double>(shape[0]);
      for (std::size_t i = 0; i < w.size(); ++i)
        if (uniform(words(i)[2]) >= keep) w[i] = 0;
    }
  } else if (f.type == "xavier") {
    draw_uniform(-std::sqrt(3 / fan()), std::sqrt(3 / fan()));
  } else if (f.type == "msra") {
    draw_normal(0, std::sqrt(2 / fan()));
  } else if (f.type == "positive_unitball") {
    draw_uniform(0, 1);
    const std::size_t row = w.size() / static_cast<std::size_t>(shape[0]);
    for (std::size_t i = 0; i < w.size(); i += row) {
      double sum = 0;
      for (std::size_t k = 0; k < row; ++k) sum += w[i + k];
      for (std::size_t k = 0; k < row; ++k) w[i + k] /= sum;
    }
  } else if (f.type == "bilinear") {
    if (shape.rank() != 4 || shape[2] != shape[3])
      throw SpecError(cat("filler 'bilinear' fills square 4-D filters, not a blob of shape ", shape));
    const auto side = static_cast<std::size_t>(shape[3]);
    const double half = std::ceil(static_cast<double>(side) / 2),
                 centre = (static_cast<double>(side) - 1) / (2 * half);
    const auto tent = [&](std::size_t at) { return 1 - std::abs(static_cast<double>(at) / half - centre); };
    for (std::size_t i = 0; i < w.size(); ++i) w[i] = tent(i % side) * tent(i / side % side);
  } else {
    throw SpecError(
        cat("no filler type '", f.type,
            "'; there are: constant, uniform, gaussian, xavier, msra, positive_unitball, bilinear"));
  }
  return w;
}
#endif

}  // namespace crema
