// SPDX-License-Identifier: Apache-2.0
// Whole files, written so that a reader sees the old file or the new one, never a part.
//
//   write_file("report.html", html);      // "report.html.partial", fsync, rename, fsync of the folder
//   PendingFile a("x.caffemodel", m), b("x.solverstate", s);     // both are on disk
//   a.commit();  b.commit();                                     // before either gets its name
//
// Every failure is a DataError with the path and the system's reason; what was half written is removed.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crema/core/descriptor.hpp"
#include "crema/core/error.hpp"
#include "crema/core/text.hpp"

namespace crema::inline CREMA_ABI {

namespace detail {
[[noreturn]] inline void write_error(const std::string& path, int error) {
  std::string hint;
  if (error == ENOSPC || error == EDQUOT || error == EFBIG)
    hint = ": make room on that disk, or write elsewhere";
  if (error == ENOENT || error == ENOTDIR) hint = ": make the folder first";
  throw DataError(cat("cannot write ", path, ": ", std::generic_category().message(error), hint));
}
}  // namespace detail

/// The folder part of a path, "." if it has none.
inline std::string folder_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return std::string(path.substr(0, slash == 0 ? 1 : slash));
}
/// The path without its folder.
inline std::string name_of_file(std::string_view path) {
  return std::string(path.substr(path.rfind('/') + 1));  // npos + 1 is 0
}
inline bool file_exists(const std::string& path) {
  struct stat s;
  return ::stat(path.c_str(), &s) == 0 && S_ISREG(s.st_mode);
}

/// A file that is written and synchronised under a temporary name, and gets its own name by commit(). Without
/// commit() nothing of it stays.
class PendingFile {
 public:
  static constexpr std::string_view suffix = ".partial";

  PendingFile(std::string path, std::string_view bytes)
      : path_(std::move(path)), partial_(cat(path_, suffix)) {
    detail::Descriptor fd(::open(partial_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    if (fd.get() < 0) detail::write_error(path_, errno);
    try {
      write_all(fd.get(), bytes);
      if (::fsync(fd.get()) != 0 || !fd.close()) detail::write_error(path_, errno);
    } catch (...) {
      ::unlink(partial_.c_str());
      throw;
    }
  }
  PendingFile(const PendingFile&) = delete;
  ~PendingFile() {
    if (!committed_) ::unlink(partial_.c_str());
  }

  void commit() {
    if (::rename(partial_.c_str(), path_.c_str()) != 0) detail::write_error(path_, errno);
    committed_ = true;
    const detail::Descriptor folder(::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder.get() >= 0) ::fsync(folder.get());  // some file systems refuse to sync a folder
  }

 private:
  void write_all(int fd, std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) detail::write_error(path_, errno);
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
  }

  std::string path_, partial_;
  bool committed_ = false;
};

inline void write_file(const std::string& path, std::string_view bytes) { PendingFile(path, bytes).commit(); }

/// Names in a folder, without "." and "..", in no order; none if the folder cannot be read.
inline std::vector<std::string> names_in_folder(const std::string& folder) {
  std::vector<std::string> names;
  DIR* const dir = ::opendir(folder.c_str());
  if (!dir) return names;
  while (const dirent* e = ::readdir(dir)) {
    const std::string_view name = e->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  ::closedir(dir);
  return names;
}

}  // namespace crema::inline CREMA_ABI
