// SPDX-License-Identifier: Apache-2.0
#include "crema/data/lmdb.hpp"

#include "catch.hpp"
#include "crema/data/lmdb_writer.hpp"
#include "crema/data/open.hpp"
#include "encoders.hpp"
#include "temporary.hpp"

using namespace crema;

#if defined(CREMA_HAS_LMDB)
#include <thread>

namespace {

DatumSpec raw(int label, Shape shape = {2, 3, 4}) {
  Image i{shape, {}};
  for (std::int64_t k = 0; k < shape.size(); ++k)
    i.pixels.push_back(static_cast<std::uint8_t>(k * 5 + label));
  return datum_of(i, label);
}
DatumSpec encoded(const std::string& bytes, int label) {
  DatumSpec d;
  d.data = bytes, d.encoded = true, d.label = label;
  return d;
}
std::string database(const TemporaryFolder& t, const std::vector<DatumSpec>& all,
                     const std::string& name = "lmdb") {
  LmdbWriter w(t.path + "/" + name);
  for (const DatumSpec& d : all) w.add(d);
  w.finish();
  return t.path + "/" + name;
}

/// Records put by liblmdb itself, by key.
void put(const std::string& folder, const std::vector<std::pair<std::string, std::string>>& records,
         unsigned flags = 0, const char* table = nullptr) {
  std::filesystem::create_directories(folder);
  MDB_env* e = nullptr;
  MDB_txn* t = nullptr;
  MDB_dbi d = 0;
  mdb_env_create(&e), mdb_env_set_mapsize(e, 64 << 20), mdb_env_set_maxdbs(e, 4);
  REQUIRE(mdb_env_open(e, folder.c_str(), 0, 0644) == 0);
  REQUIRE(mdb_txn_begin(e, nullptr, 0, &t) == 0);
  REQUIRE(mdb_dbi_open(t, table, MDB_CREATE | flags, &d) == 0);
  for (auto [key, value] : records) {
    MDB_val k{key.size(), key.data()}, v{value.size(), value.data()};
    REQUIRE(mdb_put(t, d, &k, &v, 0) == 0);
  }
  REQUIRE(mdb_txn_commit(t) == 0);
  mdb_env_close(e);
}

/// Opens and reads everything: fine, or a DataError.
bool survives(const std::string& path) {
  Limits limits;
  limits.elements = 1 << 20;
  try {
    const LmdbDataset d(path, {}, limits);
    Sample s;
    for (std::int64_t i = 0; i < d.size(); ++i) d.read(i, s);
    return true;
  } catch (const DataError& e) {
    return e.message().find(path) != std::string::npos;
  }
}

}  // namespace

TEST_CASE("what the LMDB writer writes, the reader and liblmdb read", "[data]") {
  const TemporaryFolder t;
  const std::string path = t.path + "/lmdb";
  LmdbWriter w(path);
  for (int i = 0; i < 2500; ++i) w.add(raw(i, {3, 30, 40}), i % 2 ? "cat.jpg" : "");  // 9 MB: the map grows
  CHECK(w.size() == 2500);
  CHECK_FALSE(std::filesystem::exists(path));
  w.finish();
  CHECK_FALSE(std::filesystem::exists(path + ".partial"));
  const LmdbDataset d(path);
  REQUIRE(d.size() == 2500);
  CHECK(d.sample_shape() == Shape{3, 30, 40});
  CHECK(d.key(0) == "00000000");
  CHECK(d.key(2499) == "00002499_cat.jpg");
  Sample s;
  for (const std::int64_t i : {2499, 0, 1234}) {
    d.read(i, s);
    CHECK(s.label == static_cast<float>(i));
    CHECK(std::string(s.bytes.begin(), s.bytes.end()) == raw(static_cast<int>(i), {3, 30, 40}).data);
  }
  CHECK_THROWS_WITH(d.read(2500, s), Catch::Contains("there is no sample 2500"));

  MDB_env* e = nullptr;
  MDB_txn* txn = nullptr;
  MDB_dbi dbi = 0;
  mdb_env_create(&e);
  REQUIRE(mdb_env_open(e, path.c_str(), MDB_RDONLY | MDB_NOTLS, 0644) == 0);
  REQUIRE(mdb_txn_begin(e, nullptr, MDB_RDONLY, &txn) == 0);
  REQUIRE(mdb_dbi_open(txn, nullptr, 0, &dbi) == 0);
  std::string name = "00000777_cat.jpg";
  MDB_val k{name.size(), name.data()}, v{};
  REQUIRE(mdb_get(txn, dbi, &k, &v) == 0);
  CHECK(std::string(static_cast<char*>(v.mv_data), v.mv_size) == write_wire(raw(777, {3, 30, 40})));
  mdb_txn_abort(txn);
  mdb_env_close(e);

  CHECK_THROWS_WITH(LmdbWriter(path), Catch::Contains("is there already"));
  CHECK_THROWS_WITH(LmdbWriter(t.path + "/none/lmdb"), Catch::Contains("cannot write"));
  { LmdbWriter left(t.path + "/left"); }
  CHECK_FALSE(std::filesystem::exists(t.path + "/left.partial"));
  LmdbWriter named(t.path + "/named");
  CHECK_THROWS_WITH(named.add(raw(0), std::string(600, 'x')), Catch::Contains("511"));
}

TEST_CASE("LMDB as liblmdb writes it: many sizes, two transactions, one file", "[data]") {
  const TemporaryFolder t;
  const std::string folder = t.path + "/db";
  std::vector<std::pair<std::string, std::string>> records;
  for (int i = 0; i < 3000; ++i) {
    const std::int64_t side = 1 + i * 7 % 90;  // in a leaf, or in one to eight overflow pages
    records.emplace_back(cat(100000 + i * 37 % 3000, std::string(static_cast<std::size_t>(i % 200), 'k')),
                         write_wire(raw(i, {2, side, side})));
  }
  put(folder, records);
  put(folder, {records[5], {"2", "x"}, {"3", "y"}});  // a second transaction: the other meta page
  std::sort(records.begin(), records.end());
  const LmdbFile f(folder);
  REQUIRE(f.size() == 3002);
  for (std::int64_t i = 0; i < 3000; ++i)
    if (f.key(i) != records[static_cast<std::size_t>(i)].first ||
        f.value(i) != records[static_cast<std::size_t>(i)].second)
      FAIL("record " << i);
  CHECK(f.key(3000) == "2");
  CHECK(LmdbFile(folder + "/data.mdb").size() == 3002);
}

TEST_CASE("Datum as floats, as encoded images, and what does not fit", "[data]") {
  const TemporaryFolder t;
  DatumSpec floats;
  floats.channels = 1, floats.height = 2, floats.width = 2, floats.label = 7;
  floats.float_data = {0.5f, 1, 2, -3};
  Sample s;
  const LmdbDataset d(database(t, {floats, floats}, "floats"));
  d.read(1, s);
  CHECK((s.bytes.empty() && s.label == 7));
  CHECK(std::vector<float>(s.values.begin(), s.values.end()) == floats.float_data);

  const std::string ppm = std::string("P6 2 1 255\n") + "\x01\x02\x03\x0a\x14\x1e", pgm = "P5 3 1 255\nabc";
  const std::string images = database(t, {encoded(ppm, 1), encoded(pgm, 2)}, "images");
  const LmdbDataset mixed(images);
  CHECK(mixed.sample_shape() == Shape{3, 1, 2});
  CHECK_THROWS_WITH(mixed.read(1, s), Catch::Contains("record '00000001'") && Catch::Contains("1 1 3 (3)") &&
                                          Catch::Contains("resize"));
  const LmdbDataset resized(images, {.color = true, .height = 4, .width = 4});
  resized.read(1, s);
  CHECK((s.label == 2 && s.bytes.size() == 48));
  CHECK(LmdbDataset(images, {.color = false}).sample_shape() == Shape{1, 1, 2});
  CHECK_THROWS_WITH(LmdbDataset(database(t, {raw(1)}, "raw"), {.color = true}),
                    Catch::Contains("force_color") && Catch::Contains("00000000"));
  CHECK(LmdbDataset(t.path + "/raw", {.height = 6, .width = 5}).sample_shape() == Shape{2, 6, 5});
  CHECK_THROWS_WITH(LmdbDataset(database(t, {encoded("GIF89a", 1)}, "gif")), Catch::Contains("no image"));
  DatumSpec wrong = raw(1);
  wrong.width = 5;
  CHECK_THROWS_WITH(LmdbDataset(database(t, {wrong}, "wrong")),
                    Catch::Contains("2 x 3 x 5 values holds 24") && Catch::Contains("00000000"));
  wrong.channels = -1;
  CHECK_THROWS_AS(LmdbDataset(database(t, {wrong}, "negative")), DataError);
}

TEST_CASE("what is no LMDB of Datum says so", "[data]") {
  const TemporaryFolder t;
  CHECK_THROWS_WITH(LmdbDataset(t.path), Catch::Contains("data.mdb: cannot be opened"));
  CHECK_THROWS_WITH(LmdbDataset(t.write("x/data.mdb", "hello")), Catch::Contains("no LMDB database"));
  CHECK_THROWS_WITH(LmdbDataset(t.write("y/data.mdb", std::string(9000, '\0'))), Catch::Contains("no LMDB"));
  CHECK_THROWS_WITH(LmdbDataset(database(t, {}, "empty")), Catch::Contains("without records"));
  put(t.path + "/text", {{"a", "this is no Datum"}});
  CHECK_THROWS_WITH(LmdbDataset(t.path + "/text"), Catch::Contains("record 'a'") && Catch::Contains("byte"));
  put(t.path + "/duplicates", {{"a", "1"}, {"a", "2"}}, MDB_DUPSORT);
  CHECK_THROWS_WITH(LmdbDataset(t.path + "/duplicates"), Catch::Contains("several values per key"));
  put(t.path + "/named", {{"a", "1"}}, 0, "table");
  CHECK_THROWS_WITH(LmdbDataset(t.path + "/named"), Catch::Contains("named databases"));
}

TEST_CASE("truncated and damaged LMDB files are errors, never a crash", "[data]") {
  const TemporaryFolder t;
  std::vector<DatumSpec> all;
  for (int i = 0; i < 150; ++i) all.push_back(raw(i, {1, 8 + i % 2 * 80, 9}));
  const std::string good = read_file(database(t, all) + "/data.mdb");
  const std::string path = t.path + "/bad.mdb";
  std::uint32_t random = 1;
  const auto next = [&] { return random = random * 1664525 + 1013904223; };
  for (int k = 0; k < 300; ++k) {
    t.write("bad.mdb", good.substr(0, next() % good.size()));
    INFO("cut " << k);
    CHECK_THROWS_AS(LmdbDataset(path), DataError);
  }
  for (int k = 0; k < 2000; ++k) {
    std::string bad = good;
    for (int flips = 0; flips <= k % 3; ++flips) {
      const std::size_t page = next() % (good.size() / 4096) * 4096;
      bad[page + next() / 11 % (k % 2 ? 160 : 4096)] = static_cast<char>(next() >> 24);
    }
    t.write("bad.mdb", bad);
    if (!survives(path)) FAIL("change " << k);
  }
}

TEST_CASE("an LMDB is read by several threads at once, and as a source", "[data]") {
  const TemporaryFolder t;
  std::vector<DatumSpec> all;
  for (int i = 0; i < 500; ++i) all.push_back(raw(i, {1, 50, 50}));
  database(t, all);
  const auto d = open_dataset("lmdb", {t.path});
  CHECK(d->size() == 500);
  CHECK(open_dataset("lmdb/data.mdb", {t.path})->size() == 500);
  std::vector<int> wrong(4);
  std::vector<std::thread> threads;
  for (std::size_t k = 0; k < 4; ++k)
    threads.emplace_back([&, k] {
      Sample s;
      for (std::int64_t i = 0; i < 500; ++i) {
        d->read(i, s);
        wrong[k] += s.label != static_cast<float>(i) || s.bytes[3] != static_cast<std::uint8_t>(15 + i);
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(4));
  t.write("level/CURRENT", "MANIFEST-000004\n");
  CHECK_THROWS_WITH(open_dataset("level", {t.path}), Catch::Contains("LevelDB") && Catch::Contains("LMDB"));
}
#endif
