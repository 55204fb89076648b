// SPDX-License-Identifier: Apache-2.0
// CIFAR-10 and CIFAR-100 binary files: records of one label byte (CIFAR-100: coarse, then fine) and 3 x 32 x
// 32 bytes.
//
//   auto train = read_cifar({"data_batch_1.bin", "data_batch_2.bin"});
#pragma once

#include "crema/data/dataset.hpp"
#include "crema/data/file.hpp"

namespace crema::inline CREMA_ABI {

inline constexpr std::size_t cifar_pixels = 3 * 32 * 32;

/// Label bytes of each record: 1, 2, or 0 if the size fits neither.
inline std::size_t cifar_label_bytes(std::size_t file_size) {
  return file_size == 0                        ? 0
         : file_size % (cifar_pixels + 1) == 0 ? 1
         : file_size % (cifar_pixels + 2) == 0 ? 2
                                               : 0;
}

/// All records of some files, in order; CIFAR-100 with its
/// fine labels. Throws DataError with path and record.
inline std::shared_ptr<MemoryDataset> read_cifar(const std::vector<std::string>& paths,
                                                 const Limits& limits = {}) {
  std::vector<std::uint8_t> pixels;
  std::vector<float> labels;
  for (const std::string& path : paths) {
    const std::string bytes = read_unpacked(path, limits);
    const std::size_t head = cifar_label_bytes(bytes.size());
    if (head == 0)
      throw DataError(cat(path, ": ", bytes.size(),
                          " bytes are no multiple of a CIFAR record (3073, or 3074 for CIFAR-100): truncated "
                          "or of another kind"));
    for (std::size_t at = 0; at < bytes.size(); at += head + cifar_pixels) {
      const auto label = static_cast<std::uint8_t>(bytes[at + head - 1]);
      if (label >= (head == 1 ? 10 : 100))
        throw DataError(cat(path, ": record ", at / (head + cifar_pixels), " has label ", int{label},
                            ": damaged, or no CIFAR file"));
      labels.push_back(label);
      pixels.insert(pixels.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at + head),
                    bytes.begin() + static_cast<std::ptrdiff_t>(at + head + cifar_pixels));
    }
  }
  return std::make_shared<MemoryDataset>(Shape{3, 32, 32}, std::move(pixels), std::move(labels),
                                         paths.empty() ? "CIFAR" : paths.front());
}

}  // namespace crema
