// SPDX-License-Identifier: Apache-2.0
// LmdbFile: the records of an LMDB database, read-only, by number, in the order of their keys. No liblmdb, no
// lock, no map: it reads the pages itself.
//
//   LmdbFile db("train_lmdb");                  // a folder with data.mdb, or the file itself
//   std::string value = db.value(db.size() - 1), key = db.key(0);
//
// liblmdb trusts its file: nearly every truncated database ends it, and its host, with SIGBUS. Here every page
// number, offset and length is checked against the file before it is used, no page is visited twice, and a
// damaged database is a DataError. One walk at opening finds where each record lies (24 bytes a record); after
// that a read is one pread, from any thread, from a read-only disk too. What a program writes to the database
// meanwhile is not seen, and may damage what is read.
//
// The format is LMDB 0.9's (version 1) on 64-bit little-endian machines: pages of a B+ tree, each with a header
// of 16 bytes; two meta pages, of which the one with the later transaction counts; values that do not fit a
// leaf lie in overflow pages, one after another.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "crema/core/descriptor.hpp"
#include "crema/core/error.hpp"
#include "crema/core/limits.hpp"
#include "crema/core/text.hpp"

namespace crema::inline CREMA_ABI {

class LmdbFile {
 public:
  /// Whether a file of these first 24 bytes or more is an LMDB database.
  static bool recognise(std::string_view head) {
    return head.size() >= 24 && number<std::uint32_t>(head, header) == magic;
  }

  /// Throws DataError that names the file, and what is wrong with which page.
  explicit LmdbFile(const std::string& path, const Limits& limits = {})
      : path_(path), value_limit_(limits.bytes) {
    struct stat s;
    if (stat(path.c_str(), &s) == 0 && S_ISDIR(s.st_mode)) path_ += "/data.mdb";
    file_ = detail::Descriptor(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file_.open() || fstat(file_.get(), &s) != 0)
      throw DataError(cat(path_, ": cannot be opened: ", std::strerror(errno)));
    bytes_ = static_cast<std::uint64_t>(s.st_size);
    read_meta();
    walk(limits);
  }

  std::int64_t size() const { return static_cast<std::int64_t>(records_.size()); }
  const std::string& path() const { return path_; }

  /// Both throw DataError; an index must be below size().
  std::string key(std::int64_t index) const {
    const Record& r = records_[static_cast<std::size_t>(index)];
    return read(r.key, r.key_bytes);
  }
  std::string value(std::int64_t index) const {
    const Record& r = records_[static_cast<std::size_t>(index)];
    if (!r.overflow) return read(r.value, r.value_bytes);
    std::string bytes = read(r.value, header + r.value_bytes);
    if (number<std::uint64_t>(bytes, 0) * page_ != r.value || !(number<std::uint16_t>(bytes, 10) & overflow))
      fail(r.value / page_, "is no overflow page");
    return bytes.substr(header);
  }

 private:
  static constexpr std::size_t header = 16;
  static constexpr std::uint32_t magic = 0xbeefc0de;
  static constexpr std::uint64_t none = ~std::uint64_t{0};
  enum PageFlag : std::uint16_t { branch = 1, leaf = 2, overflow = 4, meta = 8 };
  enum NodeFlag : std::uint16_t { big = 1, sub = 2, duplicates = 4 };
  struct Record {
    std::uint64_t key, value;  // where they begin; of an overflow value, its page
    std::uint32_t value_bytes;
    std::uint16_t key_bytes;
    bool overflow;
  };

  template <class T>
  static T number(std::string_view bytes, std::size_t at) {
    T v;
    std::memcpy(&v, bytes.data() + at, sizeof v);
    return v;
  }
  [[noreturn]] void fail(std::uint64_t page, const std::string& what) const {
    throw DataError(cat(path_, ": page ", page, " ", what,
                        ": the database is truncated, damaged, or being written: copy it again"));
  }

  std::string read(std::uint64_t at, std::size_t n) const {
    std::string bytes(n, '\0');
    for (std::size_t have = 0; have < n;) {
      const ssize_t got = pread(file_.get(), bytes.data() + have, n - have, static_cast<off_t>(at + have));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw DataError(cat(path_, ": cannot be read: ", std::strerror(errno)));
      if (got == 0) throw DataError(cat(path_, ": was truncated while it was read"));
      have += static_cast<std::size_t>(got);
    }
    return bytes;
  }

  void read_meta() {
    constexpr std::size_t bytes = header + 136, free_tree = header + 24, main_tree = free_tree + 48;
    if (bytes_ < bytes || !recognise(read(0, 24)))
      throw DataError(cat(path_, ": no LMDB database of a 64-bit machine, or truncated"));
    const std::string first = read(0, bytes);
    if (const auto version = number<std::uint32_t>(first, header + 4); version != 1)
      throw DataError(cat(path_, ": LMDB's format ", version, " is not read; write it with LMDB 0.9"));
    page_ = number<std::uint32_t>(first, free_tree);
    if (page_ < 256 || page_ > 65536 || (page_ & (page_ - 1))) fail(0, "has an impossible page size");
    if (bytes_ < page_ + bytes) fail(1, "is missing");
    const std::string second = read(page_, bytes);
    const std::size_t transaction = main_tree + 48 + 8;
    const bool later = recognise(second) &&
                       number<std::uint64_t>(second, transaction) > number<std::uint64_t>(first, transaction);
    const std::string& m = later ? second : first;
    if (number<std::uint16_t>(m, main_tree + 4) & 0x04)
      throw DataError(cat(path_, ": has several values per key (DUPSORT): no database of Caffe's"));
    entries_ = number<std::uint64_t>(m, main_tree + 32);
    root_ = number<std::uint64_t>(m, main_tree + 40);
  }

  /// Finds all records, in order of their keys, each page at most once.
  void walk(const Limits& limits) {
    const std::uint64_t pages = bytes_ / page_;
    if (entries_ > bytes_ / 10 || entries_ > static_cast<std::uint64_t>(limits.elements))
      fail(0, cat("announces ", entries_, " records in ", bytes_, " bytes"));
    std::vector<bool> seen(pages);
    std::vector<std::uint64_t> open;  // pages to come, the next one last
    if (root_ != none) open.push_back(root_);
    while (!open.empty()) {
      const std::uint64_t at = open.back();
      open.pop_back();
      if (at < 2 || at >= pages) fail(at, cat("is not among the file's ", pages, " pages"));
      if (seen[at]) fail(at, "is in the tree twice");
      seen[at] = true;
      page(at, open);
    }
    if (records_.size() != entries_)
      throw DataError(cat(path_, ": holds ", records_.size(), " records, but announces ", entries_,
                          ": the database is damaged, or being written: copy it again"));
  }

  void page(std::uint64_t at, std::vector<std::uint64_t>& open) {
    const std::string p = read(at * page_, page_);
    const auto flags = number<std::uint16_t>(p, 10);
    const std::size_t lower = number<std::uint16_t>(p, 12);
    if (number<std::uint64_t>(p, 0) != at || ((flags & branch) != 0) == ((flags & leaf) != 0) ||
        lower < header || lower > page_)
      fail(at, "is no page of a tree");
    const std::size_t nodes = (lower - header) / 2, begin = open.size();
    for (std::size_t i = 0; i < nodes; ++i) {
      const std::size_t node = number<std::uint16_t>(p, header + 2 * i);
      if (node < lower || node + 8 > page_) fail(at, cat("has a node ", i, " outside"));
      if (flags & branch)
        open.push_back(number<std::uint32_t>(p, node) |
                       static_cast<std::uint64_t>(number<std::uint16_t>(p, node + 4)) << 32);
      else
        records_.push_back(record(p, at, node));
      if (records_.size() > entries_) fail(at, "holds more records than were announced");
    }
    std::reverse(open.begin() + static_cast<std::ptrdiff_t>(begin), open.end());
    if (open.size() > bytes_ / page_) fail(at, "names more pages than the file has");
  }

  /// The record of a leaf's node.
  Record record(std::string_view p, std::uint64_t at, std::size_t node) const {
    const auto flags = number<std::uint16_t>(p, node + 4);
    Record r{at * page_ + node + 8, 0, number<std::uint32_t>(p, node), number<std::uint16_t>(p, node + 6),
             (flags & big) != 0};
    if (std::int64_t{r.value_bytes} > value_limit_)
      fail(at, cat("has a value of ", r.value_bytes, " bytes, more than the limit of ", value_limit_));
    const std::size_t value = node + 8 + r.key_bytes;
    if (value + (r.overflow ? 8 : 0) > page_) fail(at, "has a key that leaves it");
    if (flags & (sub | duplicates))
      throw DataError(cat(path_, ": has named databases or several values per key: no database of Caffe's"));
    if (!r.overflow) {
      r.value = at * page_ + value;
      if (value + r.value_bytes > page_) fail(at, "has a value that leaves it");
      return r;
    }
    const auto first = number<std::uint64_t>(p, value);
    if (first < 2 || first >= bytes_ / page_ || r.value_bytes + header > bytes_ - first * page_)
      fail(first, cat("begins a value of ", r.value_bytes, " bytes that the file does not hold"));
    r.value = first * page_;
    return r;
  }

  std::string path_;
  detail::Descriptor file_;
  std::int64_t value_limit_;
  std::uint64_t bytes_ = 0, page_ = 0, entries_ = 0, root_ = none;
  std::vector<Record> records_;
};

}  // namespace crema::inline CREMA_ABI
