// SPDX-License-Identifier: Apache-2.0
// Image: the pixels of one image as Caffe's nets get them, C,H,W bytes, a colour image as B, G, R.
//
//   Image small = resize_image(image, 256, 256);
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "crema/core/error.hpp"
#include "crema/core/limits.hpp"
#include "crema/core/shape.hpp"

namespace crema::inline CREMA_ABI {

struct Image {
  Shape shape;  // C,H,W; C is 1 or 3
  std::vector<std::uint8_t> pixels;
};

/// What becomes of an encoded image.
struct ImageOptions {
  std::optional<bool> color = {};      // three channels or one; empty: as it is encoded
  std::int64_t height = 0, width = 0;  // resized to, both or none; 0: as it is
  /// Whether nothing is asked for.
  bool none() const { return !color && height == 0 && width == 0; }
};

namespace detail {

/// Throws DataError unless an image of these extents may be had.
inline void check_image_size(const std::string& name, std::int64_t channels, std::int64_t height,
                             std::int64_t width, const Limits& limits) {
  if (height <= 0 || width <= 0)
    throw DataError(cat(name, ": an image of ", height, " x ", width, " pixels"));
  if (width > limits.elements / channels / height)
    throw DataError(cat(name, ": announces ", height, " x ", width, " pixels, more than the limit of ",
                        limits.elements, " values: it is damaged, or made to take memory"));
}

/// One row, its channels side by side (red first), into the planes.
inline void scatter_row(const std::uint8_t* row, std::int64_t y, Image& out) {
  const std::int64_t channels = out.shape[0], height = out.shape[1], width = out.shape[2];
  for (std::int64_t c = 0; c < channels; ++c) {
    std::uint8_t* to = out.pixels.data() + (c * height + y) * width;
    const std::uint8_t* from = row + (channels - 1 - c);
    for (std::int64_t x = 0; x < width; ++x) to[x] = from[x * channels];
  }
}

/// Where a pixel of the resized image comes from: two neighbours and their weights, which add up to 2048.
struct ResizeTap {
  std::int64_t first, second;
  int weight[2];
};
/// As cv::resize places them: pixel centres on each other. At the ends of a row one neighbour gets all weight;
/// of a column, the last line stands in for what lies beyond.
inline std::vector<ResizeTap> resize_taps(std::int64_t from, std::int64_t to, bool rows) {
  const double scale = 1 / (static_cast<double>(to) / static_cast<double>(from));
  std::vector<ResizeTap> all(static_cast<std::size_t>(to));
  for (std::int64_t i = 0; i < to; ++i) {
    auto at = static_cast<float>((static_cast<double>(i) + 0.5) * scale - 0.5);
    auto first = static_cast<std::int64_t>(std::floor(at));
    at -= static_cast<float>(first);
    if (!rows && (first < 0 || first >= from - 1)) at = 0;
    all[static_cast<std::size_t>(i)] = {
        std::clamp<std::int64_t>(first, 0, from - 1),
        std::clamp<std::int64_t>(first + 1, 0, from - 1),
        {static_cast<int>(std::lrintf((1 - at) * 2048)), static_cast<int>(std::lrintf(at * 2048))}};
  }
  return all;
}

}  // namespace detail

/// Bilinear, as cv::resize with INTER_LINEAR: in fixed point, to the same bytes. Throws ShapeError for extents
/// below 1.
inline Image resize_image(const Image& in, std::int64_t height, std::int64_t width) {
  if (height < 1 || width < 1) throw ShapeError(cat("an image cannot be resized to ", height, " x ", width));
  const std::int64_t channels = in.shape[0], in_height = in.shape[1], in_width = in.shape[2];
  if (height == in_height && width == in_width) return in;
  if (in.shape.size() == 0) throw ShapeError("an image without pixels cannot be resized");
  Image out{{channels, height, width}, {}};
  out.pixels.resize(static_cast<std::size_t>(out.shape.size()));
  const std::vector<detail::ResizeTap> columns = detail::resize_taps(in_width, width, false),
                                       rows = detail::resize_taps(in_height, height, true);
  // The two source rows in use, stretched to the new width; consecutive rows share them.
  std::vector<int> line[2] = {std::vector<int>(columns.size()), std::vector<int>(columns.size())};
  std::uint8_t* to = out.pixels.data();
  for (std::int64_t c = 0; c < channels; ++c) {
    std::int64_t held[2] = {-1, -1};
    for (const detail::ResizeTap& row : rows) {
      if (held[0] != row.first && held[1] == row.first) line[0].swap(line[1]), std::swap(held[0], held[1]);
      for (int k = 0; k < 2; ++k) {
        const std::int64_t y = k == 0 ? row.first : row.second;
        if (held[k] == y) continue;
        held[k] = y;
        const std::uint8_t* from = in.pixels.data() + (c * in_height + y) * in_width;
        for (std::size_t x = 0; x < columns.size(); ++x)
          line[k][x] =
              from[columns[x].first] * columns[x].weight[0] + from[columns[x].second] * columns[x].weight[1];
      }
      for (std::size_t x = 0; x < columns.size(); ++x) {
        const int sum =
            ((row.weight[0] * (line[0][x] >> 4)) >> 16) + ((row.weight[1] * (line[1][x] >> 4)) >> 16);
        *to++ = static_cast<std::uint8_t>((sum + 2) >> 2);
      }
    }
  }
  return out;
}

}  // namespace crema::inline CREMA_ABI
