// SPDX-License-Identifier: Apache-2.0
// resolve_under: a path from outside, found under the folders that the host allows, and nowhere else.
//
//   std::string path = resolve_under("mean.binaryproto", {"models/lenet", "/data"});
#pragma once

#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <string>
#include <vector>

#include "crema/core/error.hpp"
#include "crema/core/text.hpp"

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

}  // namespace crema
