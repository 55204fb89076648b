// SPDX-License-Identifier: Apache-2.0
#include "crema/data/idx.hpp"

#include "catch.hpp"
#include "temporary.hpp"

using namespace crema;

namespace {
std::string pixels(std::size_t n) {
  std::string s;
  for (std::size_t i = 0; i < n; ++i) s += static_cast<char>(i * 37);
  return s;
}
}  // namespace

TEST_CASE("IDX images come with the labels beside them", "[data]") {
  const TemporaryFolder t;
  const std::string images = t.write("train-images-idx3-ubyte", idx({3, 2, 4}, pixels(24)));
  t.write("train-labels-idx1-ubyte", idx({3}, {'\x05', '\x00', '\x09'}));
  const auto data = read_idx(images);
  REQUIRE(data->size() == 3);
  CHECK(data->sample_shape() == Shape{1, 2, 4});
  Sample s;
  data->read(2, s);
  CHECK(s.label == 9);
  CHECK(s.bytes[1] == static_cast<std::uint8_t>(17 * 37));
  CHECK_THROWS_WITH(data->read(3, s), Catch::Contains("3 samples") && Catch::Contains("sample 3"));
}

TEST_CASE("IDX of four axes has channels", "[data]") {
  const TemporaryFolder t;
  const std::string images = t.write("x-images-idx4-ubyte", idx({2, 3, 2, 2}, pixels(24)));
  t.write("x-labels-idx1-ubyte", idx({2}, pixels(2)));
  CHECK(read_idx(images)->sample_shape() == Shape{3, 2, 2});
}

TEST_CASE("damaged IDX files say what is wrong", "[data]") {
  const TemporaryFolder t;
  const std::string good = idx({3, 2, 4}, pixels(24));
  t.write("train-labels-idx1-ubyte", idx({3}, pixels(3)));
  const auto fails = [&](const std::string& bytes, const std::string& message) {
    const std::string path = t.write("train-images-idx3-ubyte", bytes);
    INFO(message);
    CHECK_THROWS_WITH(read_idx(path), Catch::Contains(message) && Catch::Contains("train-"));
    CHECK_THROWS_AS(read_idx(path), DataError);
  };
  for (std::size_t n = 0; n < good.size(); ++n) fails(good.substr(0, n), "");
  fails(good.substr(0, 20), "truncated");
  fails(good + "x", "1 bytes too many");
  fails("P5 28 28", "no IDX file");
  fails(idx({0xffffffff, 0xffffffff, 0xffffffff}, ""), "announces more than");
  fails(idx({4, 2, 4}, pixels(32)), "3 labels for the 4 images");
  std::string floats = good;
  floats[2] = 0x0d;
  fails(floats, "only unsigned bytes");
  fails(idx({24}, pixels(24)), "1 axes");
  const std::string alone = t.write("other-images-idx3-ubyte", good);
  CHECK_THROWS_WITH(read_idx(alone),
                    Catch::Contains("label file is missing") && Catch::Contains("other-labels-idx1-ubyte"));
  CHECK_THROWS_WITH(read_idx(t.path + "/no-images-idx3"), Catch::Contains("cannot be opened"));
  Limits small;
  small.bytes = 10;
  CHECK_THROWS_WITH(read_idx(t.write("train-images-idx3-ubyte", good), {}, small),
                    Catch::Contains("limit of 10"));
}

#if defined(CREMA_HAS_ZLIB)
namespace {
std::string gzip(const std::string& bytes) {
  const TemporaryFolder t;
  const std::string path = t.path + "/x.gz";
  gzFile f = gzopen(path.c_str(), "wb");
  gzwrite(f, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(f);
  return read_file(path);
}
}  // namespace

TEST_CASE("gzipped IDX, whole and damaged", "[data]") {
  const TemporaryFolder t;
  const std::string bytes = gzip(idx({3, 2, 4}, pixels(24)));
  t.write("t-labels-idx1-ubyte.gz", gzip(idx({3}, pixels(3))));
  CHECK(read_idx(t.write("t-images-idx3-ubyte.gz", bytes))->size() == 3);
  for (std::size_t n = 3; n < bytes.size() - 1; ++n) {
    const std::string cut = t.write("t-images-idx3-ubyte.gz", bytes.substr(0, n));
    CHECK_THROWS_AS(read_idx(cut), DataError);
  }
  const std::string bomb = gzip(idx({1000, 100, 100}, std::string(10000000, '\0')));
  Limits small;
  small.bytes = 1 << 20;
  CHECK(bomb.size() < 100000);
  CHECK_THROWS_WITH(read_idx(t.write("t-images-idx3-ubyte.gz", bomb), {}, small),
                    Catch::Contains("unpacks to more"));
}

TEST_CASE("Fashion-MNIST as Debian ships it", "[data]") {
  const std::string folder = "/usr/share/datasets/fashion-mnist/";
  REQUIRE(detail::exists(folder));  // package dataset-fashion-mnist
  const auto test = read_idx(folder + "t10k-images-idx3-ubyte.gz");
  CHECK(test->size() == 10000);
  CHECK(test->sample_shape() == Shape{1, 28, 28});
  std::vector<int> count(10);
  Sample s;
  for (std::int64_t i = 0; i < 10000; ++i) test->read(i, s), ++count[static_cast<std::size_t>(s.label)];
  CHECK(count == std::vector<int>(10, 1000));
}
#endif
