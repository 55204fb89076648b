// SPDX-License-Identifier: Apache-2.0
// Dataset: samples with labels that can be read in any order, by several threads.
//
//   auto data = std::make_shared<MemoryDataset>(Shape{1, 28, 28}, pixels, labels);
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "crema/core/error.hpp"
#include "crema/core/shape.hpp"

namespace crema::inline CREMA_ABI {

/// One sample, C,H,W: as bytes or as floats, whichever is not empty. The spans live as long as the dataset,
/// or as `own` and `own_values`.
struct Sample {
  std::span<const std::uint8_t> bytes;
  std::span<const float> values;
  float label = 0;
  std::vector<std::uint8_t> own;
  std::vector<float> own_values;
};

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual std::int64_t size() const = 0;
  virtual const Shape& sample_shape() const = 0;  // C,H,W
  /// Throws DataError that names file and sample.
  virtual void read(std::int64_t index, Sample& out) const = 0;
  /// For messages: where it came from.
  virtual const std::string& name() const = 0;
};

/// Samples in memory, bytes or floats, one after another.
template <class Pixel>
class MemorySamples final : public Dataset {
 public:
  /// Throws DataError unless there are as many pixels as labels ask for.
  MemorySamples(const Shape& sample, std::vector<Pixel> pixels, std::vector<float> labels,
                std::string name = "memory")
      : shape_(sample), pixels_(std::move(pixels)), labels_(std::move(labels)), name_(std::move(name)) {
    if (sample.rank() != 3 || sample.size() == 0)
      throw ShapeError(cat("a sample is C x H x W, not ", sample));
    if (static_cast<std::int64_t>(pixels_.size()) != size() * sample.size())
      throw DataError(cat(name_, ": ", size(), " labels of samples with ", sample.size(), " values, but ",
                          pixels_.size(), " values"));
  }
  std::int64_t size() const override { return static_cast<std::int64_t>(labels_.size()); }
  const Shape& sample_shape() const override { return shape_; }
  const std::string& name() const override { return name_; }
  void read(std::int64_t i, Sample& out) const override {
    if (i < 0 || i >= size())
      throw DataError(cat(name_, " has ", size(), " samples; there is no sample ", i));
    const auto n = static_cast<std::size_t>(shape_.size());
    const std::span<const Pixel> all(pixels_);
    out.bytes = {}, out.values = {};
    if constexpr (sizeof(Pixel) == 1)
      out.bytes = all.subspan(static_cast<std::size_t>(i) * n, n);
    else
      out.values = all.subspan(static_cast<std::size_t>(i) * n, n);
    out.label = labels_[static_cast<std::size_t>(i)];
  }

 private:
  Shape shape_;
  std::vector<Pixel> pixels_;
  std::vector<float> labels_;
  std::string name_;
};
using MemoryDataset = MemorySamples<std::uint8_t>;
using FloatDataset = MemorySamples<float>;

}  // namespace crema
