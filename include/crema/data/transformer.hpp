// SPDX-License-Identifier: Apache-2.0
// Transformer: a sample's values as the net gets them: (pixel - mean) * scale, cropped and mirrored.
//
//   Transformer t(TransformationOptions{.scale = 1 / 256.f}, sample_shape, Phase::train, seed);
//   t.apply(sample, epoch, index, out);      // t.shape().size() floats
//
// mean_value: one number, or one per channel. mean_file: whoever hands the options on reads the file and hands
// on the mean image too; a crop of a sample meets the same crop of it.
// crop_size: at random in TRAIN, from the centre in TEST. mirror: half of the samples, in TRAIN only (Caffe
// mirrors in TEST too). What is drawn depends on (seed, epoch, index) alone.
#pragma once

#include <algorithm>

#include "crema/core/random.hpp"
#include "crema/data/dataset.hpp"
#include "crema/data/mean_image.hpp"
#include "crema/spec/layer_options.hpp"

namespace crema::inline CREMA_ABI {

class Transformer {
 public:
  /// Throws SpecError or ShapeError for options, or a mean image, that do not fit the samples.
  Transformer(const TransformationOptions& o, const Shape& sample, Phase phase, std::uint64_t seed,
              std::shared_ptr<const MeanImage> mean = {})
      : options_(o),
        mean_(std::move(mean)),
        in_(sample),
        out_(sample),
        random_(phase == Phase::train),
        key_(random_key(seed, "transformer")) {
    if (o.force_color || o.force_gray)
      throw SpecError(
          "transform_param: force_color and force_gray are for encoded images: set ImageOptions::color where "
          "the dataset is opened");
    if (!mean_ && o.mean_file)
      throw SpecError(
          "transform_param: mean_file is only a path: read it with read_mean_image, and hand on the mean");
    if (mean_ && !o.mean_value.empty())
      throw SpecError("transform_param: mean_file and mean_value: give one of them");
    if (mean_ && mean_->shape != sample)
      throw ShapeError(cat(mean_->name, ": the mean image is ", mean_->shape, "where the samples are ",
                           sample, ", before they are cropped: compute it from these samples"));
    if (o.mean_value.size() > 1 && static_cast<std::int64_t>(o.mean_value.size()) != sample[0])
      throw SpecError(cat("transform_param: ", o.mean_value.size(), " mean_value for ", sample[0],
                          " channels: give one, or one per channel"));
    if (o.crop_size == 0) return;
    const std::int64_t c = o.crop_size;
    if (c > sample[1] || c > sample[2])
      throw ShapeError(cat("crop_size ", c, " does not fit images of ", sample[1], " x ", sample[2]));
    out_ = {sample[0], c, c};
  }

  /// C,H,W of what comes out.
  const Shape& shape() const { return out_; }

  void apply(const Sample& s, std::int64_t epoch, std::int64_t index, float* out) const {
    const Counter r = philox({static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32),
                              static_cast<std::uint32_t>(epoch), 0},
                             key_);
    const bool mirror = options_.mirror && random_ && (r[0] & 1);
    const std::int64_t rows = in_[1] - out_[1], columns = in_[2] - out_[2];
    const auto pick = [&](std::int64_t room, std::uint32_t bits) {
      return random_ ? static_cast<std::int64_t>(uniform(bits) * static_cast<double>(room + 1)) : room / 2;
    };
    const std::int64_t y0 = pick(rows, r[1]), x0 = pick(columns, r[2]), width = out_[2];
    for (std::int64_t c = 0; c < out_[0]; ++c) {
      const float value =
          options_.mean_value.empty()
              ? 0
              : options_.mean_value[options_.mean_value.size() == 1 ? 0 : static_cast<std::size_t>(c)];
      for (std::int64_t y = 0; y < out_[1]; ++y, out += width) {
        const auto from = static_cast<std::size_t>((c * in_[1] + y0 + y) * in_[2] + x0);
        if (!s.bytes.empty())
          row(s.bytes.data() + from, width, value, from, out);
        else
          row(s.values.data() + from, width, value, from, out);
        if (mirror) std::reverse(out, out + width);
      }
    }
  }

 private:
  template <class P>
  void row(const P* in, std::int64_t n, float value, std::size_t from, float* out) const {
    if (mean_) {
      const float* const mean = mean_->values.data() + from;
      for (std::int64_t i = 0; i < n; ++i) out[i] = (static_cast<float>(in[i]) - mean[i]) * options_.scale;
    } else {
      for (std::int64_t i = 0; i < n; ++i) out[i] = (static_cast<float>(in[i]) - value) * options_.scale;
    }
  }

  TransformationOptions options_;
  std::shared_ptr<const MeanImage> mean_;
  Shape in_, out_;
  bool random_;
  Key key_;
};

}  // namespace crema
