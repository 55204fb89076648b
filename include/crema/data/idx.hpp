// SPDX-License-Identifier: Apache-2.0
// IDX, the format of MNIST and Fashion-MNIST: two zero bytes, a type byte (8: unsigned bytes), the number of
// axes, the extents as big-endian 32-bit numbers, then the values. Plain or gzipped.
//
//   auto train = read_idx("train-images-idx3-ubyte.gz");    // labels: train-labels-idx1-ubyte.gz beside it
#pragma once

#include <sys/stat.h>

#include <array>

#include "crema/data/dataset.hpp"
#include "crema/data/file.hpp"

namespace crema::inline CREMA_ABI {

struct IdxArray {
  std::vector<std::int64_t> extents;
  std::vector<std::uint8_t> values;
};

inline bool is_idx(std::string_view bytes) {
  return bytes.size() >= 4 && bytes[0] == 0 && bytes[1] == 0 && bytes[3] >= 1 && bytes[3] <= 4;
}

/// Throws DataError that names the path and what is wrong with its bytes.
inline IdxArray parse_idx(std::string_view bytes, const std::string& path) {
  if (!is_idx(bytes))
    throw DataError(cat(path, ": no IDX file: it does not begin with 00 00, a type and 1 to 4 axes"));
  if (bytes[2] != 8)
    throw DataError(cat(path, ": IDX of type ", static_cast<int>(static_cast<unsigned char>(bytes[2])),
                        "; only unsigned bytes (8) are read"));
  IdxArray a;
  const auto axes = static_cast<std::size_t>(bytes[3]), header = 4 + 4 * axes;
  if (bytes.size() < header) throw DataError(cat(path, ": the IDX header is cut off at byte ", bytes.size()));
  std::int64_t count = 1;
  for (std::size_t i = 0; i < axes; ++i) {
    std::int64_t e = 0;
    for (std::size_t k = 0; k < 4; ++k) e = e << 8 | static_cast<unsigned char>(bytes[4 + 4 * i + k]);
    a.extents.push_back(e);
    if (e != 0 && count > (std::int64_t{1} << 40) / e)
      throw DataError(cat(path, ": the IDX header announces more than 2^40 values: it is damaged"));
    count *= e;
  }
  const auto have = static_cast<std::int64_t>(bytes.size() - header);
  if (have < count)
    throw DataError(cat(path, ": truncated: the header announces ", count, " values, but ", have,
                        " follow: fetch the file again"));
  if (have > count)
    throw DataError(
        cat(path, ": ", have - count, " bytes too many behind the ", count, " values of the header"));
  a.values.assign(bytes.begin() + static_cast<std::ptrdiff_t>(header), bytes.end());
  return a;
}

namespace detail {
inline bool exists(const std::string& path) {
  struct stat s;
  return stat(path.c_str(), &s) == 0;
}
/// train-images-idx3-ubyte.gz -> train-labels-idx1-ubyte.gz, and the same without .gz: either may be there.
inline std::array<std::string, 2> label_siblings(const std::string& images) {
  const std::size_t slash = images.rfind('/') == std::string::npos ? 0 : images.rfind('/') + 1;
  std::string file = images.substr(slash);
  const auto replace = [&](std::string_view from, std::string_view to) {
    const std::size_t at = file.rfind(from);
    if (at != std::string::npos) file.replace(at, from.size(), to);
    return at != std::string::npos;
  };
  if (!replace("images", "labels"))
    throw DataError(
        cat(images, ": an IDX image file has \"images\" in its name, and its label file \"labels\""));
  if (!replace("idx3", "idx1")) replace("idx4", "idx1");
  std::string path = images.substr(0, slash) + file;
  const bool gz = path.ends_with(".gz");
  return {path, gz ? path.substr(0, path.size() - 3) : path + ".gz"};
}
inline std::string label_sibling(const std::string& images) {
  const auto [path, other] = label_siblings(images);
  if (!exists(path) && !exists(other))
    throw DataError(cat(images, ": its label file is missing: expected ", path));
  return exists(path) ? path : other;
}
}  // namespace detail

/// Images (N x H x W or N x C x H x W) with the labels of `labels`, by default the file beside them.
inline std::shared_ptr<MemoryDataset> read_idx(const std::string& images, std::string labels = {},
                                               const Limits& limits = {}) {
  IdxArray x = parse_idx(read_unpacked(images, limits), images);
  if (x.extents.size() < 3)
    throw DataError(cat(images, ": ", x.extents.size(), " axes; images have 3 (N, H, W) or 4 (N, C, H, W)"));
  if (labels.empty()) labels = detail::label_sibling(images);
  const IdxArray l = parse_idx(read_unpacked(labels, limits), labels);
  if (l.extents.size() != 1) throw DataError(cat(labels, ": ", l.extents.size(), " axes; labels have one"));
  if (l.extents[0] != x.extents[0])
    throw DataError(cat(labels, ": ", l.extents[0], " labels for the ", x.extents[0], " images of ", images));
  const Shape sample = x.extents.size() == 3 ? Shape{1, x.extents[1], x.extents[2]}
                                             : Shape{x.extents[1], x.extents[2], x.extents[3]};
  return std::make_shared<MemoryDataset>(sample, std::move(x.values),
                                         std::vector<float>(l.values.begin(), l.values.end()), images);
}

}  // namespace crema
