// SPDX-License-Identifier: Apache-2.0
// MeanImage: the mean of a data set, pixel by pixel: Caffe's mean_file, a BlobProto.
//
//   std::shared_ptr<const MeanImage> mean = read_mean_image("imagenet_mean.binaryproto");
//   Transformer t({.crop_size = 227}, mean->shape, Phase::train, seed, mean);
//   std::string file = write_wire(to_blob(compute_mean_image(*dataset)));      // what compute_image_mean writes
#pragma once

#include <memory>

#include "crema/data/dataset.hpp"
#include "crema/data/file.hpp"
#include "crema/spec/wire_format.hpp"

namespace crema::inline CREMA_ABI {

struct MeanImage {
  Shape shape;  // C,H,W
  std::vector<float> values;
  std::string name = "mean image";  // for messages: its file
};

/// The mean of a .binaryproto: 1,C,H,W in Caffe's legacy fields, or a shape of three axes or four. Throws
/// DataError that names the path.
inline std::shared_ptr<const MeanImage> read_mean_image(const std::string& path, const Limits& limits = {}) {
  BlobSpec b;
  try {
    b = parse_wire<BlobSpec>(read_file(path, limits), path, limits);
  } catch (const ParseError& e) {
    throw DataError(cat(e.message(), "; a mean_file is a .binaryproto, as compute_image_mean writes it"));
  }
  std::vector<std::int64_t> e = {b.num.value_or(1), b.channels.value_or(0), b.height.value_or(0),
                                 b.width.value_or(0)};
  if (b.shape) e = b.shape->dim;
  if (e.size() == 4 && e[0] == 1) e.erase(e.begin());
  const auto count = static_cast<std::int64_t>(b.double_data.empty() ? b.data.size() : b.double_data.size());
  std::int64_t left = count;  // dividing by the extents cannot overflow
  bool fits = e.size() == 3;
  for (const std::int64_t extent : e) fits = fits && extent > 0 && left % extent == 0 && (left /= extent) > 0;
  if (!fits || left != 1) {
    std::string extents;
    for (const std::int64_t extent : e) extents += cat(" ", extent);
    throw DataError(cat(path, ": a mean image is 1 x C x H x W numbers; this blob says", extents,
                        " and holds ", count, ": it is damaged, or another kind of file"));
  }
  auto mean = std::make_shared<MeanImage>();
  mean->shape = Shape(e), mean->name = path;
  if (b.double_data.empty())
    mean->values = std::move(b.data);
  else
    mean->values.assign(b.double_data.begin(), b.double_data.end());
  return mean;
}

/// The mean over all samples, summed in double. Throws DataError for a dataset without samples, and as its read.
inline MeanImage compute_mean_image(const Dataset& dataset) {
  if (dataset.size() == 0) throw DataError(cat(dataset.name(), ": no samples to take a mean of"));
  std::vector<double> sum(static_cast<std::size_t>(dataset.sample_shape().size()));
  Sample s;
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    dataset.read(i, s);
    for (std::size_t k = 0; k < sum.size(); ++k)
      sum[k] += s.bytes.empty() ? static_cast<double>(s.values[k]) : static_cast<double>(s.bytes[k]);
  }
  MeanImage mean{dataset.sample_shape(), {}};
  for (const double v : sum)
    mean.values.push_back(static_cast<float>(v / static_cast<double>(dataset.size())));
  return mean;
}

/// As Caffe writes it: legacy extents 1,C,H,W.
inline BlobSpec to_blob(const MeanImage& mean) {
  BlobSpec b;
  b.num = 1, b.channels = static_cast<int>(mean.shape[0]), b.height = static_cast<int>(mean.shape[1]);
  b.width = static_cast<int>(mean.shape[2]), b.data = mean.values;
  return b;
}

}  // namespace crema::inline CREMA_ABI
