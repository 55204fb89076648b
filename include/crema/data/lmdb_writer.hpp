// SPDX-License-Identifier: Apache-2.0
// LmdbWriter: an LMDB database of Datum as Caffe's convert_imageset makes it (component lmdb, CREMA_HAS_LMDB).
//
//   LmdbWriter db("train_lmdb");
//   db.add(datum_of(image, label), "cat.jpg");      // key "00000000_cat.jpg"
//   db.finish();
//
// Keys are the record's number, 8 digits, and the name behind it if there is one. Everything is written to
// "train_lmdb.partial", which gets its name in finish(): without it nothing stays. The map grows as needed.
#pragma once

#if defined(CREMA_HAS_LMDB)
#include <lmdb.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "crema/spec/wire_format.hpp"

namespace crema::inline CREMA_ABI {

class LmdbWriter {
 public:
  /// `path` must not be there yet. Throws DataError.
  explicit LmdbWriter(std::string path) : path_(std::move(path)), partial_(path_ + ".partial") {
    struct stat s;
    if (stat(path_.c_str(), &s) == 0)
      throw DataError(cat(path_, ": is there already: remove it, or choose another name"));
    remove();  // what a process left that was killed
    if (mkdir(partial_.c_str(), 0755) != 0) failed(std::strerror(errno));
    try {
      check(mdb_env_create(&environment_));
      check(mdb_env_set_mapsize(environment_, map_));
      check(mdb_env_open(environment_, partial_.c_str(), MDB_NOLOCK | MDB_NOTLS | MDB_NOMEMINIT, 0644));
    } catch (...) {
      close();
      throw;
    }
  }
  LmdbWriter(const LmdbWriter&) = delete;
  LmdbWriter& operator=(const LmdbWriter&) = delete;
  ~LmdbWriter() {
    if (!finished_) close();
  }

  std::int64_t size() const { return count_; }

  /// Throws DataError, for a name that makes the key longer than LMDB's 511 bytes too.
  void add(const DatumSpec& datum, std::string_view name = {}) {
    std::string key = cat(count_);
    if (key.size() < 8) key.insert(0, 8 - key.size(), '0');
    if (!name.empty()) key += cat("_", name);
    if (key.size() > 511) throw DataError(cat(path_, ": the key '", key, "' has more than 511 bytes"));
    pending_.emplace_back(std::move(key), write_wire(datum));
    pending_bytes_ += pending_.back().second.size();
    ++count_;
    if (pending_.size() >= 1000 || pending_bytes_ >= (std::size_t{64} << 20)) commit();
  }

  /// Commits what is left and gives the database its name. Throws DataError.
  void finish() {
    commit();
    check(mdb_env_sync(environment_, 1));
    mdb_env_close(std::exchange(environment_, nullptr));
    if (std::rename(partial_.c_str(), path_.c_str()) != 0) failed(std::strerror(errno));
    finished_ = true;
  }

 private:
  [[noreturn]] void failed(const char* why) const { throw DataError(cat("cannot write ", path_, ": ", why)); }
  void check(int result) const {
    if (result != MDB_SUCCESS) failed(mdb_strerror(result));
  }
  void remove() {
    for (const char* file : {"/data.mdb", "/lock.mdb"}) unlink((partial_ + file).c_str());
    rmdir(partial_.c_str());
  }
  void close() {
    if (environment_) mdb_env_close(std::exchange(environment_, nullptr));
    remove();
  }

  /// One transaction, with a map twice as large as often as it takes.
  void commit() {
    for (int result; (result = put()) != MDB_SUCCESS;) {
      if (result != MDB_MAP_FULL) check(result);
      map_ *= 2;
      check(mdb_env_set_mapsize(environment_, map_));
    }
    pending_.clear(), pending_bytes_ = 0;
  }
  int put() {
    MDB_txn* transaction = nullptr;
    if (const int result = mdb_txn_begin(environment_, nullptr, 0, &transaction)) return result;
    MDB_dbi database = 0;
    int result = mdb_dbi_open(transaction, nullptr, 0, &database);
    for (std::size_t i = 0; i < pending_.size() && result == MDB_SUCCESS; ++i) {
      MDB_val key{pending_[i].first.size(), pending_[i].first.data()},
          value{pending_[i].second.size(), pending_[i].second.data()};
      result = mdb_put(transaction, database, &key, &value, MDB_NOOVERWRITE);
    }
    if (result == MDB_SUCCESS) return mdb_txn_commit(transaction);
    mdb_txn_abort(transaction);
    return result;
  }

  std::string path_, partial_;
  std::size_t map_ = std::size_t{16} << 20, pending_bytes_ = 0;
  MDB_env* environment_ = nullptr;
  std::vector<std::pair<std::string, std::string>> pending_;  // of the next transaction
  std::int64_t count_ = 0;
  bool finished_ = false;
};

}  // namespace crema::inline CREMA_ABI
#endif
