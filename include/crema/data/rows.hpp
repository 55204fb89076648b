// SPDX-License-Identifier: Apache-2.0
// RowTable: rows of a host's table (a Spark partition, a query's result), spooled to local disk and read in any
// order. RowDataset: one of its columns as the samples of a Dataset.
//
//   RowTable table({{"data", ColumnType::bytes}, {"label", ColumnType::integer}}, "/local/disk");
//   table.add(block);                                                 // whole rows, as docs/spark_protocol.md has them
//   table.finish();
//   auto data = std::make_shared<RowDataset>(rows, RowFormat{.data = "data", .label = "label", .sample = {1, 28, 28}});
//
// The spool is a file without a name: it is gone with the process, however that ends.
#pragma once

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <system_error>

#include "crema/core/descriptor.hpp"
#include "crema/data/dataset.hpp"
#include "crema/data/image.hpp"

namespace crema::inline CREMA_ABI {

enum class ColumnType : std::uint8_t { integer, real, bytes, reals, text };
struct Column {
  std::string name;
  ColumnType type = ColumnType::bytes;
};

/// A value of a row: bytes as they came. Scalars are 8 or 4 bytes, the others what follows their length.
using RowValue = std::span<const std::uint8_t>;

namespace detail {

template <class V>
V number_at(const std::uint8_t* bytes) {
  V v;
  std::memcpy(&v, bytes, sizeof v);  // little-endian, as this machine
  return v;
}

/// Walks through the values of rows; throws DataError where they leave the block.
class RowReader {
 public:
  RowReader(std::span<const std::uint8_t> bytes, const std::vector<Column>& columns)
      : bytes_(bytes), columns_(columns) {}

  bool more() const { return at_ < bytes_.size(); }
  std::size_t offset() const { return at_; }
  /// A row: its position, and f(column, value) for each value.
  template <class F>
  std::int64_t row(const F& f) {
    const auto position = number_at<std::int64_t>(take(8, "its position").data());
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      const std::string& name = columns_[c].name;
      switch (columns_[c].type) {
        case ColumnType::integer:
          f(c, take(8, name));
          break;
        case ColumnType::real:
          f(c, take(4, name));
          break;
        default: {
          const std::size_t n = number_at<std::uint32_t>(take(4, name).data());
          f(c, take(columns_[c].type == ColumnType::reals ? n * 4 : n, name));
        }
      }
    }
    return position;
  }

 private:
  RowValue take(std::size_t n, std::string_view what) {
    if (n > bytes_.size() - at_)
      throw DataError(cat("a block of rows ends within ", what == "its position" ? "" : "column ", what,
                          " of a row: ", n, " bytes are announced, ", bytes_.size() - at_, " are left"));
    at_ += n;
    return bytes_.subspan(at_ - n, n);
  }

  std::span<const std::uint8_t> bytes_;
  const std::vector<Column>& columns_;
  std::size_t at_ = 0;
};

}  // namespace detail

class RowTable {
 public:
  /// `folder` is where the spool lies; `announced` rows will come, which says how large a disk has to be (-1: nobody
  /// knows). Throws DataError when the spool cannot be made, SpecError for two columns of a name.
  RowTable(std::vector<Column> columns, std::string folder, std::int64_t announced = -1)
      : columns_(std::move(columns)),
        folder_(std::move(folder)),
        announced_(announced),
        spool_(make_spool(folder_)) {
    for (std::size_t i = 0; i < columns_.size(); ++i)
      for (std::size_t k = 0; k < i; ++k)
        if (columns_[i].name == columns_[k].name)
          throw SpecError(cat("two columns are named '", columns_[i].name, "'"));
  }
  RowTable(const RowTable&) = delete;
  RowTable& operator=(const RowTable&) = delete;
  ~RowTable() {
    if (map_ != MAP_FAILED) ::munmap(map_, bytes_);
  }

  /// A block of whole rows. Throws DataError that names the row and the column for a value that cannot be right
  /// (a number that is not finite, a block that ends within a row), and for a full disk.
  void add(std::span<const std::uint8_t> block) {
    detail::RowReader reader(block, columns_);
    while (reader.more()) {
      const std::size_t at = reader.offset();
      std::size_t bad = columns_.size();
      const std::int64_t position = reader.row([&](std::size_t c, RowValue v) {
        if (!finite(columns_[c].type, v)) bad = c;
      });
      if (bad < columns_.size())
        throw DataError(
            cat("row ", position, ", column '", columns_[bad].name,
                "': holds a number that is not finite (NaN or infinite): clean the column, or leave "
                "such rows out"));
      rows_.push_back({position, bytes_ + at});
    }
    write(block);
    bytes_ += block.size();
  }

  /// No more rows. Throws DataError when two have one position.
  void finish() {
    std::sort(rows_.begin(), rows_.end(),
              [](const Place& a, const Place& b) { return a.position < b.position; });
    for (std::size_t i = 1; i < rows_.size(); ++i)
      if (rows_[i].position == rows_[i - 1].position)
        throw DataError(cat("two rows have position ", rows_[i].position));
    if (bytes_ == 0) return;
    map_ = ::mmap(nullptr, bytes_, PROT_READ, MAP_SHARED, spool_.get(), 0);
    if (map_ == MAP_FAILED) throw DataError(cat(folder_, ": the spooled rows cannot be mapped: ", reason()));
  }

  const std::vector<Column>& columns() const { return columns_; }
  std::int64_t size() const { return static_cast<std::int64_t>(rows_.size()); }
  /// Of the spool.
  std::size_t bytes() const { return bytes_; }
  /// Of row `index` in the order of positions.
  std::int64_t position(std::int64_t index) const { return rows_[static_cast<std::size_t>(index)].position; }
  /// The index of the row at a position, or -1.
  std::int64_t find(std::int64_t position) const {
    const auto at = std::lower_bound(rows_.begin(), rows_.end(), position,
                                     [](const Place& p, std::int64_t x) { return p.position < x; });
    return at == rows_.end() || at->position != position ? -1 : at - rows_.begin();
  }
  /// The index of a column, or -1.
  int column(std::string_view name) const {
    for (std::size_t c = 0; c < columns_.size(); ++c)
      if (columns_[c].name == name) return static_cast<int>(c);
    return -1;
  }
  /// Lives as long as the table.
  RowValue value(std::int64_t index, int column) const {
    const std::uint64_t offset = rows_[static_cast<std::size_t>(index)].offset;
    detail::RowReader reader({static_cast<const std::uint8_t*>(map_) + offset, bytes_ - offset}, columns_);
    RowValue found;
    reader.row([&](std::size_t c, RowValue v) {
      if (static_cast<int>(c) == column) found = v;
    });
    return found;
  }
  /// A row's number in a column of integers, reals or texts of numbers; nothing where it is none.
  std::optional<double> number(std::int64_t index, int column) const {
    const RowValue v = value(index, column);
    switch (columns_[static_cast<std::size_t>(column)].type) {
      case ColumnType::integer:
        return static_cast<double>(detail::number_at<std::int64_t>(v.data()));
      case ColumnType::real:
        return detail::number_at<float>(v.data());
      case ColumnType::text: {
        double x;
        if (parse_number(text(v), x) && std::isfinite(x)) return x;
        return {};
      }
      default:
        return {};
    }
  }
  static std::string_view text(RowValue v) { return {reinterpret_cast<const char*>(v.data()), v.size()}; }

 private:
  struct Place {
    std::int64_t position;
    std::uint64_t offset;  // in the spool
  };

  static std::string reason() { return std::generic_category().message(errno); }
  static detail::Descriptor make_spool(const std::string& folder) {
    std::string name = folder + "/rows.XXXXXX";
    detail::Descriptor file(::mkstemp(name.data()));
    if (!file.open()) throw DataError(cat(folder, ": rows cannot be spooled there: ", reason()));
    ::fcntl(file.get(), F_SETFD, FD_CLOEXEC);
    ::unlink(name.c_str());
    return file;
  }
  static bool finite(ColumnType type, RowValue v) {
    if (type == ColumnType::real) return std::isfinite(detail::number_at<float>(v.data()));
    if (type == ColumnType::reals)
      for (std::size_t i = 0; i < v.size(); i += 4)
        if (!std::isfinite(detail::number_at<float>(v.data() + i))) return false;
    return true;
  }
  void write(std::span<const std::uint8_t> bytes) {
    const double share = static_cast<double>(announced_) / static_cast<double>(rows_.size());
    const auto needed = static_cast<std::int64_t>(share * static_cast<double>(bytes_ + bytes.size()));
    while (!bytes.empty()) {
      const ssize_t n = ::write(spool_.get(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0)
        throw DataError(cat(folder_, ": rows cannot be spooled after ", bytes_, " bytes",
                            announced_ < 0 ? std::string() : cat(" of about ", needed), ": ", reason(),
                            errno == ENOSPC || errno == EDQUOT
                                ? ": make room on that disk, or let the host's folders lie on another"
                                : ""));
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
  }

  std::vector<Column> columns_;
  std::string folder_;
  std::int64_t announced_;
  detail::Descriptor spool_;
  std::vector<Place> rows_;
  std::uint64_t bytes_ = 0;
  void* map_ = MAP_FAILED;
};

/// How rows become samples.
struct RowFormat {
  std::string data, label = {};  // columns; no label: 0
  Shape sample = {};             // C,H,W of every sample
  bool encoded =
      false;  // all are encoded images; otherwise JPEG, PNG, and bytes that are not a sample's number
  bool resize = false;       // encoded images of other sizes are resized to it
  bool interleaved = false;  // pixels that are not encoded are H,W,C, as OpenCV has them
  /// Rows of all hosts: sample i is the row at position i. Below 0: sample i is the table's row i.
  std::int64_t total = -1;
};

/// A column of bytes (raw pixels, or encoded images), of reals, or of numbers, with labels from another.
class RowDataset final : public Dataset {
 public:
  /// Throws SpecError for a column that is missing, DataError that names row and column for a value that is no
  /// sample.
  RowDataset(std::shared_ptr<const RowTable> table, RowFormat format)
      : table_(std::move(table)),
        format_(std::move(format)),
        name_(cat("column '", format_.data, "'")),
        data_(find(format_.data)),
        label_(format_.label.empty() ? -1 : find(format_.label)) {
    if (format_.sample.rank() != 3 || format_.sample.size() == 0)
      throw ShapeError(cat(name_, ": a sample is C x H x W, not ", format_.sample));
    for (std::int64_t i = 0; i < table_->size(); ++i) check(i);
  }

  std::int64_t size() const override { return format_.total < 0 ? table_->size() : format_.total; }
  const Shape& sample_shape() const override { return format_.sample; }
  const std::string& name() const override { return name_; }

  void read(std::int64_t index, Sample& out) const override {
    const std::int64_t row = format_.total < 0 ? index : table_->find(index);
    if (row < 0 || row >= table_->size())
      throw DataError(cat(name_, ": the row at position ", index, " is not here"));
    out.bytes = {}, out.values = {};
    const RowValue v = table_->value(row, data_);
    if (type() == ColumnType::bytes && raw(v)) {
      out.bytes = v;
      if (format_.interleaved) out.bytes = out.own = planes(v);
    } else if (type() == ColumnType::bytes) {
      Image image = decode(row, v);
      out.own = std::move(image.pixels);
      out.bytes = out.own;
    } else {
      out.own.resize(type() == ColumnType::reals ? v.size() : sizeof(float));
      if (type() == ColumnType::reals) {
        std::memcpy(out.own.data(), v.data(), v.size());
      } else {
        const auto x = static_cast<float>(table_->number(row, data_).value());
        std::memcpy(out.own.data(), &x, sizeof x);
      }
      out.values = {reinterpret_cast<const float*>(out.own.data()), out.own.size() / sizeof(float)};
    }
    out.label = label_ < 0 ? 0 : static_cast<float>(table_->number(row, label_).value());
  }

 private:
  ColumnType type() const { return table_->columns()[static_cast<std::size_t>(data_)].type; }
  bool raw(RowValue v) const {
    return !format_.encoded && static_cast<std::int64_t>(v.size()) == format_.sample.size() &&
           !detail::is_jpeg(v) && !detail::is_png(v);
  }
  /// H,W,C to C,H,W.
  std::vector<std::uint8_t> planes(RowValue v) const {
    const auto channels = static_cast<std::size_t>(format_.sample[0]), pixels = v.size() / channels;
    std::vector<std::uint8_t> out(v.size());
    for (std::size_t c = 0; c < channels; ++c)
      for (std::size_t i = 0; i < pixels; ++i) out[c * pixels + i] = v[i * channels + c];
    return out;
  }
  std::string place(std::int64_t row) const { return cat("row ", table_->position(row), ", ", name_); }

  int find(const std::string& column) const {
    const int c = table_->column(column);
    if (c < 0) {
      std::string all;
      for (const Column& k : table_->columns()) all += cat(all.empty() ? "" : ", ", k.name);
      throw SpecError(cat("there is no column '", column, "' in the rows; they have: ", all));
    }
    return c;
  }
  void check(std::int64_t row) const {
    const RowValue v = table_->value(row, data_);
    const std::int64_t want = format_.sample.size();
    if (type() == ColumnType::bytes) {
      if (!raw(v) && !is_encoded_image(v))
        throw DataError(cat(place(row), ": ", v.size(), " bytes are neither an image of ", format_.sample,
                            " (", want, " bytes) nor an encoded one that is read here"));
    } else if (type() == ColumnType::reals) {
      if (static_cast<std::int64_t>(v.size()) != want * 4)
        throw DataError(cat(place(row), ": ", v.size() / 4, " numbers where a sample of ", format_.sample,
                            " has ", want));
    } else if (want != 1 || !table_->number(row, data_)) {
      throw DataError(cat(place(row), ": ",
                          want != 1 ? cat("one value where a sample has ", want)
                                    : cat("'", RowTable::text(v), "' is no number")));
    }
    if (label_ >= 0 && !table_->number(row, label_))
      throw DataError(cat("row ", table_->position(row), ", column '", format_.label, "': no number"));
  }
  Image decode(std::int64_t row, RowValue v) const {
    const Shape& s = format_.sample;
    ImageOptions o{.color = s[0] != 1};
    if (format_.resize) o.height = s[1], o.width = s[2];
    Image image = decode_image(v, place(row), o);
    if (image.shape != s)
      throw DataError(cat(place(row), ": an image of ", image.shape, " where the net takes ", s,
                          ": resize images first, or ask for it (resize)"));
    return image;
  }

  std::shared_ptr<const RowTable> table_;
  RowFormat format_;
  std::string name_;
  int data_, label_;
};

}  // namespace crema::inline CREMA_ABI
