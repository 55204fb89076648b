// SPDX-License-Identifier: Apache-2.0
// open_dataset: the dataset behind a prototxt's `source`, recognised by its bytes, and only if it lies under
// a folder that the host allows.
//
//   auto data = open_dataset("train-images-idx3-ubyte.gz", {"models/lenet", "/usr/share/datasets/fashion-mnist"});
#pragma once

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>

#include <algorithm>

#include "crema/data/cifar.hpp"
#include "crema/data/idx.hpp"
#include "crema/data/lmdb.hpp"

namespace crema::inline CREMA_ABI {

namespace detail {

/// The path without links, "." and "..", or nothing if it does not exist.
inline std::string canonical_path(const std::string& path) {
  char buffer[PATH_MAX];
  return realpath(path.c_str(), buffer) ? std::string(buffer) : std::string();
}
/// Whether canonical `path` is `root` or lies under it, by whole components.
inline bool lies_under(const std::string& path, const std::string& root) {
  return path == root || root == "/" || (path.starts_with(root) && path[root.size()] == '/');
}
inline bool is_folder(const std::string& path) {
  struct stat s;
  return stat(path.c_str(), &s) == 0 && S_ISDIR(s.st_mode);
}
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

}  // namespace detail

/// `path` as it may be opened: looked for under each root in turn, links followed, and refused when it ends
/// outside all of them. An absolute path is taken as it is, under the same rule. Throws DataError that lists
/// the roots.
inline std::string resolve_under(const std::string& path, const std::vector<std::string>& roots) {
  std::string list;
  for (const std::string& r : roots) list += cat(list.empty() ? "" : ", ", r.empty() ? "." : r);
  bool outside = false;
  for (const std::string& r : roots) {
    const std::string folder = r.empty() ? "." : r,
                      found = detail::canonical_path(path.starts_with('/') ? path : folder + "/" + path);
    if (found.empty()) continue;
    for (const std::string& allowed : roots)
      if (const std::string a = detail::canonical_path(allowed.empty() ? "." : allowed);
          !a.empty() && detail::lies_under(found, a))
        return found;
    outside = true;
  }
  if (outside)
    throw DataError(cat("'", path, "' lies outside the folders that may be read (", list,
                        "): allow its folder with --data-root"));
  throw DataError(cat("'", path, "' is not to be found under ", list,
                      ": correct the path, or name its folder with --data-root"));
}

namespace detail {
inline void refuse_image_options(const std::string& path, const ImageOptions& image) {
  if (image != ImageOptions{})
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
