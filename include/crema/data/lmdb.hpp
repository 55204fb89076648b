// SPDX-License-Identifier: Apache-2.0
// LmdbDataset: the Datum of a Caffe LMDB database, in any order, from any thread; nothing but this header is
// needed (data/lmdb_file.hpp reads the pages). data/lmdb_writer.hpp writes such databases.
//
//   auto train = std::make_shared<LmdbDataset>("mnist_train_lmdb");
//   auto jpegs = std::make_shared<LmdbDataset>("ilsvrc12_train_lmdb", ImageOptions{.height = 256, .width = 256});
//
// All records have the shape of the first, once decoded and resized.
#pragma once

#include "crema/data/datum.hpp"
#include "crema/data/lmdb_file.hpp"

namespace crema::inline CREMA_ABI {

class LmdbDataset final : public Dataset {
 public:
  /// A folder with data.mdb, or the file. Reads the keys and the first record. Throws DataError for what is no
  /// database of Datum, or has no records; as read_datum for options that do not fit.
  explicit LmdbDataset(const std::string& path, const ImageOptions& image = {}, const Limits& limits = {})
      : file_(path, limits), image_(image), limits_(limits), name_(path) {
    if (file_.size() == 0) throw DataError(cat(path, ": an LMDB database without records"));
    Sample first;
    shape_ = parse(0, first);
  }

  std::int64_t size() const override { return file_.size(); }
  const Shape& sample_shape() const override { return shape_; }
  const std::string& name() const override { return name_; }
  /// The key of a record: "00000007_cat.jpg". Throws DataError.
  std::string key(std::int64_t index) const {
    check(index);
    return file_.key(index);
  }
  void read(std::int64_t index, Sample& out) const override {
    check(index);
    if (const Shape s = parse(index, out); s != shape_)
      throw DataError(cat(describe(index), ": has shape ", s, "where the first record has ", shape_,
                          "; all samples of a net have one: resize the images when the database is made"));
  }

 private:
  void check(std::int64_t index) const {
    if (index < 0 || index >= size())
      throw DataError(cat(name_, " has ", size(), " samples; there is no sample ", index));
  }
  std::string describe(std::int64_t index) const { return cat(name_, ": record '", file_.key(index), "'"); }
  Shape parse(std::int64_t index, Sample& out) const {
    return read_datum(file_.value(index), describe(index), image_, limits_, out);
  }

  LmdbFile file_;
  ImageOptions image_;
  Limits limits_;
  std::string name_;
  Shape shape_;
};

}  // namespace crema::inline CREMA_ABI
