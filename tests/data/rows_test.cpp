// SPDX-License-Identifier: Apache-2.0
#include "crema/data/rows.hpp"

#include <limits>

#include "catch.hpp"
#include "temporary.hpp"

using namespace crema;

namespace {

/// Rows as a host writes them.
class Block {
 public:
  Block& row(std::int64_t position) { return put(position); }
  Block& integer(std::int64_t v) { return put(v); }
  Block& real(float v) { return put(v); }
  Block& bytes(std::string_view v) {
    put(static_cast<std::uint32_t>(v.size()));
    data_.insert(data_.end(), v.begin(), v.end());
    return *this;
  }
  Block& reals(const std::vector<float>& v) {
    put(static_cast<std::uint32_t>(v.size()));
    for (const float x : v) put(x);
    return *this;
  }
  operator std::span<const std::uint8_t>() const { return data_; }
  std::vector<std::uint8_t> data_;

 private:
  template <class V>
  Block& put(V v) {
    const auto* const at = reinterpret_cast<const std::uint8_t*>(&v);
    data_.insert(data_.end(), at, at + sizeof v);
    return *this;
  }
};

const std::vector<Column> image_and_label = {{"data", ColumnType::bytes}, {"label", ColumnType::integer}};

}  // namespace

TEST_CASE("rows come back by position, in whatever order they came", "[data]") {
  const TemporaryFolder folder;
  auto table = std::make_shared<RowTable>(image_and_label, folder.path);
  table->add(Block().row(7).bytes("efgh").integer(3).row(2).bytes("abcd").integer(1));
  table->add(Block().row(4).bytes("ijkl").integer(2));
  table->finish();
  CHECK(std::filesystem::is_empty(folder.path));  // the spool has no name
  REQUIRE(table->size() == 3);
  CHECK((table->position(0) == 2 && table->position(1) == 4 && table->position(2) == 7));
  CHECK((table->find(7) == 2 && table->find(3) == -1 && table->find(8) == -1));

  const RowDataset by_row(table, {.data = "data", .label = "label", .sample = {1, 2, 2}});
  Sample s;
  by_row.read(1, s);
  CHECK((by_row.size() == 3 && s.label == 2 && std::string(s.bytes.begin(), s.bytes.end()) == "ijkl"));

  const RowDataset by_position(table, {.data = "data", .sample = {1, 2, 2}, .total = 9});
  by_position.read(7, s);
  CHECK((by_position.size() == 9 && s.label == 0 && std::string(s.bytes.begin(), s.bytes.end()) == "efgh"));
  CHECK_THROWS_WITH(by_position.read(3, s), Catch::Contains("the row at position 3 is not here"));
}

TEST_CASE("columns of every type become samples", "[data]") {
  const TemporaryFolder folder;
  auto table = std::make_shared<RowTable>(std::vector<Column>{{"i", ColumnType::integer},
                                                              {"r", ColumnType::real},
                                                              {"t", ColumnType::text},
                                                              {"v", ColumnType::reals}},
                                          folder.path);
  table->add(Block().row(0).integer(-5).real(0.5f).bytes("1.25").reals({1, 2, 3}));
  table->finish();
  const auto first = [&](const char* column, const Shape& shape) {
    Sample s;
    RowDataset(table, {.data = column, .label = "t", .sample = shape}).read(0, s);
    CHECK(s.label == 1.25f);
    return std::vector<float>(s.values.begin(), s.values.end());
  };
  CHECK(first("i", {1, 1, 1}) == std::vector<float>{-5});
  CHECK(first("r", {1, 1, 1}) == std::vector<float>{0.5f});
  CHECK(first("t", {1, 1, 1}) == std::vector<float>{1.25f});
  CHECK(first("v", {3, 1, 1}) == std::vector<float>{1, 2, 3});
}

TEST_CASE("encoded images are decoded, and resized if that is asked for", "[data]") {
  const TemporaryFolder folder;
  auto table = std::make_shared<RowTable>(image_and_label, folder.path);
  const std::string grey = "P5 2 2 255\nabcd", color = "P6 1 2 255\nabcdef";
  table->add(Block().row(0).bytes(grey).integer(0).row(1).bytes(color).integer(0));
  table->finish();
  Sample s;
  const RowDataset planes(table, {.data = "data", .sample = {3, 2, 1}, .encoded = true});
  planes.read(1, s);
  CHECK(std::string(s.bytes.begin(), s.bytes.end()) == "cfbead");  // B, G, R
  CHECK_THROWS_WITH(planes.read(0, s), Catch::Contains("row 0, column 'data': an image of 3 2 2") &&
                                           Catch::Contains("where the net takes 3 2 1"));
  const RowDataset resized(table, {.data = "data", .sample = {3, 2, 1}, .encoded = true, .resize = true});
  resized.read(0, s);
  CHECK(s.bytes.size() == 6);
}

TEST_CASE("raw pixels may be H,W,C", "[data]") {
  const TemporaryFolder folder;
  auto table = std::make_shared<RowTable>(image_and_label, folder.path);
  table->add(Block().row(0).bytes("abcdefABCDEF").integer(0));
  table->finish();
  Sample s;
  RowDataset(table, {.data = "data", .sample = {3, 2, 2}, .interleaved = true}).read(0, s);
  CHECK(std::string(s.bytes.begin(), s.bytes.end()) == "adADbeBEcfCF");
  RowDataset(table, {.data = "data", .sample = {3, 2, 2}}).read(0, s);
  CHECK(std::string(s.bytes.begin(), s.bytes.end()) == "abcdefABCDEF");
}

TEST_CASE("an encoded image as long as a raw one is none", "[data]") {
  const TemporaryFolder folder;
  auto table = std::make_shared<RowTable>(image_and_label, folder.path);
  table->add(Block().row(0).bytes("\xff\xd8\xff\xe0").integer(0));
  table->finish();
  Sample s;
  const RowDataset data(table, {.data = "data", .sample = {1, 2, 2}});
  CHECK_THROWS_WITH(data.read(0, s),
                    Catch::Contains("row 0, column 'data'"));  // no JPEG that could be decoded
}

TEST_CASE("rows that cannot be right are refused with their row and column", "[data]") {
  const TemporaryFolder folder;
  const auto refused = [&](const std::vector<Column>& columns, const Block& block, const std::string& why) {
    RowTable table(columns, folder.path);
    CHECK_THROWS_WITH(table.add(block), Catch::Contains(why));
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  refused({{"x", ColumnType::real}}, Block().row(3).real(nan),
          "row 3, column 'x': holds a number that is not");
  refused({{"v", ColumnType::reals}}, Block().row(4).reals({1, nan}), "row 4, column 'v'");
  refused({{"d", ColumnType::bytes}}, Block().row(5),
          "ends within column d of a row: 4 bytes are announced, 0");
  Block cut = Block().row(5).bytes("abc");
  cut.data_.pop_back();
  refused({{"d", ColumnType::bytes}}, cut, "3 bytes are announced, 2 are left");
  refused({{"d", ColumnType::bytes}}, Block().integer(1).reals({}).integer(1), "of a row");
  CHECK_THROWS_WITH(RowTable({{"a", ColumnType::real}, {"a", ColumnType::real}}, folder.path),
                    Catch::Contains("two columns are named 'a'"));
  CHECK_THROWS_WITH(RowTable({}, folder.path + "/nowhere"), Catch::Contains("cannot be spooled there"));

  RowTable twice(image_and_label, folder.path);
  twice.add(Block().row(1).bytes("a").integer(0).row(1).bytes("b").integer(0));
  CHECK_THROWS_WITH(twice.finish(), Catch::Contains("two rows have position 1"));

  auto table = std::make_shared<RowTable>(image_and_label, folder.path);
  table->add(Block().row(6).bytes("abc").integer(0));
  table->finish();
  CHECK_THROWS_WITH(RowDataset(table, {.data = "data", .sample = {1, 2, 2}}),
                    Catch::Contains("row 6, column 'data': 3 bytes are neither an image of 1 2 2"));
  CHECK_THROWS_WITH(RowDataset(table, {.data = "image", .sample = {1, 2, 2}}),
                    Catch::Contains("no column 'image' in the rows; they have: data, label"));
  CHECK_THROWS_WITH(RowDataset(table, {.data = "label", .sample = {1, 2, 2}}),
                    Catch::Contains("one value where a sample has 4"));
}

TEST_CASE("a table without rows", "[data]") {
  const TemporaryFolder folder;
  auto table = std::make_shared<RowTable>(image_and_label, folder.path);
  table->finish();
  CHECK(table->size() == 0);
  CHECK(RowDataset(table, {.data = "data", .sample = {1, 1, 1}}).size() == 0);
}
