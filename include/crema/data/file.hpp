// SPDX-License-Identifier: Apache-2.0
// Whole files into memory, plain or gzipped, never more than the limits allow.
//
// gzip needs the component zlib (CREMA_HAS_ZLIB); without it a .gz file is a DataError that says so.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "crema/core/error.hpp"
#include "crema/core/limits.hpp"
#include "crema/core/text.hpp"
#if defined(CREMA_HAS_ZLIB)
#include <zlib.h>
#endif

namespace crema::inline CREMA_ABI {

struct CloseFile {
  void operator()(std::FILE* f) const { std::fclose(f); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

/// Throws DataError with the path and the system's reason.
inline File open_file(const std::string& path, const char* mode = "rb") {
  File f(std::fopen(path.c_str(), mode));
  if (!f) throw DataError(cat(path, ": cannot be opened: ", std::strerror(errno)));
  return f;
}

/// All bytes of a file as they are. Throws DataError.
inline std::string read_file(const std::string& path, const Limits& limits = {}) {
  const File f = open_file(path);
  std::string bytes;
  char chunk[1 << 16];
  for (std::size_t n; (n = std::fread(chunk, 1, sizeof chunk, f.get())) > 0;) {
    bytes.append(chunk, n);
    if (static_cast<std::int64_t>(bytes.size()) > limits.bytes)
      throw DataError(cat(path, ": more than the limit of ", limits.bytes, " bytes"));
  }
  if (std::ferror(f.get())) throw DataError(cat(path, ": cannot be read: ", std::strerror(errno)));
  return bytes;
}

/// The first few bytes of a file, to tell its kind.
inline std::string read_head(const std::string& path) {
  const File f = open_file(path);
  char bytes[32];
  return std::string(bytes, std::fread(bytes, 1, sizeof bytes, f.get()));
}

inline bool is_gzip(std::string_view bytes) {
  return bytes.size() > 2 && bytes[0] == '\x1f' && bytes[1] == '\x8b';
}

/// Unpacks gzip. Memory grows with what comes out, up to the limits. Throws DataError with the path.
inline std::string gunzip([[maybe_unused]] const std::string& bytes, const std::string& path,
                          [[maybe_unused]] const Limits& limits) {
#if defined(CREMA_HAS_ZLIB)
  z_stream z{};
  if (inflateInit2(&z, 15 + 16) != Z_OK) throw DataError(cat(path, ": zlib cannot be started"));
  struct End {
    z_stream* z;
    ~End() { inflateEnd(z); }
  } end{&z};
  std::string out;
  char chunk[1 << 16];
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  z.avail_in = static_cast<uInt>(bytes.size());
  for (int state = Z_OK; state != Z_STREAM_END;) {
    z.next_out = reinterpret_cast<Bytef*>(chunk), z.avail_out = sizeof chunk;
    state = inflate(&z, Z_NO_FLUSH);
    if (state != Z_OK && state != Z_STREAM_END)
      throw DataError(cat(path, ": the gzip data is truncated or damaged: fetch the file again"));
    out.append(chunk, sizeof chunk - z.avail_out);
    if (static_cast<std::int64_t>(out.size()) > limits.bytes)
      throw DataError(cat(path, ": unpacks to more than the limit of ", limits.bytes, " bytes"));
  }
  return out;
#else
  throw DataError(cat(
      path,
      ": is gzipped, and this program was built without the component zlib: unpack it, or build with zlib"));
#endif
}

/// All bytes of a file, unpacked if gzipped.
inline std::string read_unpacked(const std::string& path, const Limits& limits = {}) {
  std::string bytes = read_file(path, limits);
  return is_gzip(bytes) ? gunzip(bytes, path, limits) : bytes;
}

}  // namespace crema
