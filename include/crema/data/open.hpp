// SPDX-License-Identifier: Apache-2.0
// open_dataset: the dataset behind a prototxt's `source`, recognised by its bytes, and only if it lies under
// a folder that the host allows.
//
//   auto data = open_dataset("train-images-idx3-ubyte.gz", {"models/lenet", "/usr/share/datasets/fashion-mnist"});
#pragma once

#include <dirent.h>

#include <algorithm>

#include "crema/data/cifar.hpp"
#include "crema/data/idx.hpp"
#include "crema/data/lmdb.hpp"
#include "crema/data/paths.hpp"

namespace crema::inline CREMA_ABI {

namespace detail {

inline std::vector<std::string> cifar_files(const std::string& folder) {
  std::vector<std::string> files;
  if (DIR* d = opendir(folder.c_str())) {
    while (const dirent* e = readdir(d)) {
      const std::string name = e->d_name;
      if (name.starts_with("data_batch_") && name.ends_with(".bin")) files.push_back(folder + "/" + name);
    }
    closedir(d);
  }
  std::sort(files.begin(), files.end());
  return files;
}

inline void refuse_image_options(const std::string& path, const ImageOptions& image) {
  if (!image.none())
    throw SpecError(cat(
        path, ": force_color, force_gray and resizing are for encoded images, and these samples are none"));
}
}  // namespace detail

/// IDX images (labels beside them), a CIFAR file, a folder of data_batch_*.bin, or an LMDB database of Datum
/// (its folder or its file), whose encoded images become what `image` says. Throws DataError; SpecError for a
/// colour asked of samples that are not encoded.
inline std::shared_ptr<Dataset> open_dataset(const std::string& source, const std::vector<std::string>& roots,
                                             const Limits& limits = {}, const ImageOptions& image = {}) {
  if (source.empty())
    throw DataError("a Data layer needs a `source`: an LMDB folder, an IDX image file or a CIFAR file");
  const std::string path = resolve_under(source, roots);
  if (detail::is_folder(path)) {
    if (detail::exists(path + "/data.mdb")) return std::make_shared<LmdbDataset>(path, image, limits);
    if (detail::exists(path + "/CURRENT"))
      throw DataError(cat(path,
                          ": LevelDB is not read: make the database again as LMDB (convert_imageset "
                          "--backend=lmdb)"));
    const auto files = detail::cifar_files(path);
    if (files.empty())
      throw DataError(cat(path, ": a folder without data.mdb (LMDB) and without data_batch_*.bin (CIFAR)"));
    detail::refuse_image_options(path, image);
    return read_cifar(files, limits);
  }
  const std::string head = read_head(path);
  if (LmdbFile::recognise(head)) return std::make_shared<LmdbDataset>(path, image, limits);
  detail::refuse_image_options(path, image);
  if (is_idx(head) || (is_gzip(head) && is_idx(read_unpacked(path, limits))))
    return read_idx(path, {}, limits);
  return read_cifar({path}, limits);
}

}  // namespace crema
