// SPDX-License-Identifier: Apache-2.0
#include "crema/data/batcher.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "catch.hpp"

using namespace crema;

namespace {
/// n samples of 1 x 2 x 3 whose label is their number and whose pixels are it plus 0, 1, 2, ...
std::shared_ptr<MemoryDataset> numbered(std::int64_t n) {
  std::vector<std::uint8_t> pixels;
  std::vector<float> labels;
  for (std::int64_t i = 0; i < n; ++i) {
    labels.push_back(static_cast<float>(i));
    for (int k = 0; k < 6; ++k) pixels.push_back(static_cast<std::uint8_t>(i + k));
  }
  return std::make_shared<MemoryDataset>(Shape{1, 2, 3}, std::move(pixels), std::move(labels));
}
std::vector<int> labels(Batcher& b, int batches) {
  std::vector<int> all;
  for (int i = 0; i < batches; ++i)
    for (const float l : b.next().labels) all.push_back(static_cast<int>(l));
  return all;
}
class Failing final : public Dataset {
 public:
  std::int64_t size() const override { return 100; }
  const Shape& sample_shape() const override { return shape_; }
  const std::string& name() const override { return name_; }
  void read(std::int64_t i, Sample& out) const override {
    if (i == 7) throw DataError("failing: sample 7 cannot be read");
    out.bytes = pixels_, out.label = static_cast<float>(i);
  }

 private:
  Shape shape_{1, 1, 1};
  std::string name_ = "failing";
  std::vector<std::uint8_t> pixels_{1};
};
}  // namespace

TEST_CASE("an epoch is a permutation of all samples, whatever the shards", "[data]") {
  for (const int shards : {1, 2, 3, 7}) {
    std::set<std::int64_t> seen;
    for (int v = 0; v < shards; ++v)
      for (const std::int64_t i : sample_order(100, 5, 3, v, shards, true)) {
        CHECK(i % shards == v);
        CHECK(seen.insert(i).second);
      }
    CHECK(seen.size() == 100);
  }
  CHECK(sample_order(50, 1, 0, 0, 1, true) == sample_order(50, 1, 0, 0, 1, true));
  CHECK(sample_order(50, 1, 0, 0, 1, true) != sample_order(50, 1, 1, 0, 1, true));
  CHECK(sample_order(50, 1, 0, 0, 1, true) != sample_order(50, 2, 0, 0, 1, true));
  // Every element comes first about equally often.
  std::vector<int> first(8);
  for (std::int64_t e = 0; e < 8000; ++e)
    ++first[static_cast<std::size_t>(sample_order(8, 1, e, 0, 1, true)[0])];
  CHECK(*std::min_element(first.begin(), first.end()) > 850);
  CHECK(*std::max_element(first.begin(), first.end()) < 1150);
}

TEST_CASE("epochs follow each other: no sample dropped, none twice", "[data]") {
  Batcher b(numbered(10), {}, {.batch = 4, .seed = 3, .shuffle = true});
  const std::vector<int> all = labels(b, 10);  // four epochs in batches that do not divide them
  for (std::size_t epoch = 0; epoch < 4; ++epoch) {
    std::vector<int> part(all.begin() + static_cast<long>(epoch * 10),
                          all.begin() + static_cast<long>(epoch * 10 + 10));
    std::sort(part.begin(), part.end());
    CHECK(part == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  }
  CHECK(std::vector<int>(all.begin(), all.begin() + 10) !=
        std::vector<int>(all.begin() + 10, all.begin() + 20));
}

TEST_CASE("ranks that share the shards make the batches of one rank", "[data]") {
  const auto batches = [](Shards s, std::int64_t batch) {
    return std::make_unique<Batcher>(numbered(23), TransformationOptions{.mirror = true},
                                     BatcherOptions{.batch = batch, .seed = 3, .shuffle = true, .shards = s});
  };
  const auto all = batches({4, 0, 4}, 8);
  for (const int ranks : {1, 2, 4}) {
    all->seek(0);
    std::vector<std::unique_ptr<Batcher>> own;
    for (int r = 0; r < ranks; ++r) own.push_back(batches({4, r * 4 / ranks, 4 / ranks}, 8 / ranks));
    for (int step = 0; step < 12; ++step) {
      const Batch& want = all->next();
      std::vector<float> data, labels;
      for (auto& b : own) {
        const Batch& part = b->next();
        data.insert(data.end(), part.data.begin(), part.data.end());
        labels.insert(labels.end(), part.labels.begin(), part.labels.end());
      }
      CHECK(data == want.data);
      CHECK(labels == want.labels);
    }
  }
  std::map<int, int> seen;  // 6 samples in shards 0 to 2, 5 in shard 3: five epochs of those, six of this
  all->seek(0);
  for (int step = 0; step < 15; ++step) {
    for (const float l : all->next().labels) ++seen[static_cast<int>(l)];
    const int rows = 2 * (step + 1);
    std::map<int, int>
        wanted;  // times -> samples: in each shard all have been seen equally often, or once more
    for (const int n : {6, 6, 6, 5}) wanted[rows / n + 1] += rows % n, wanted[rows / n] += n - rows % n;
    std::map<int, int> counts;
    for (int label = 0; label < 23; ++label) ++counts[seen[label]];
    std::erase_if(wanted, [](const auto& w) { return w.second == 0; });
    CHECK(counts == wanted);
  }
  for (const auto& [label, times] : seen) CHECK(times == (label % 4 == 3 ? 6 : 5));
  CHECK_THROWS_AS(batches({4, 0, 4}, 6), SpecError);
  CHECK_THROWS_AS(batches({24, 0, 24}, 24), DataError);
}

TEST_CASE("seek gives the batches that would have come", "[data]") {
  const TransformationOptions crop{.mirror = true, .crop_size = 2};
  const BatcherOptions o{.batch = 3, .seed = 9, .shuffle = true};
  Batcher whole(numbered(11), crop, o), resumed(numbered(11), crop, o);
  std::vector<std::vector<float>> data;
  for (int i = 0; i < 30; ++i) data.push_back(whole.next().data);
  resumed.next();
  for (const int at : {17, 2, 0, 29, 28}) {
    resumed.seek(at * 3);
    const Batch& b = resumed.next();
    CHECK(b.cursor == at * 3);
    CHECK(b.data == data[static_cast<std::size_t>(at)]);
  }
}

TEST_CASE("without wrapping, the last batch is short and the next empty", "[data]") {
  Batcher b(numbered(10), {}, {.batch = 4, .phase = Phase::test, .wrap = false});
  CHECK(b.next().size == 4);
  CHECK(b.next().size == 4);
  const Batch& last = b.next();
  CHECK((last.size == 2 && last.labels == std::vector<float>{8, 9}));
  CHECK(b.next().size == 0);
  b.seek(0);
  CHECK(b.next().labels == std::vector<float>{0, 1, 2, 3});
}

TEST_CASE("transformations: mean, scale, crop, mirror", "[data]") {
  const auto one = [](TransformationOptions o, Phase phase) {
    Batcher b(numbered(1), o, {.batch = 1, .phase = phase});
    return b.next().data;
  };
  CHECK(one({.scale = 0.5f, .mean_value = {2}}, Phase::train) ==
        std::vector<float>{-1, -0.5f, 0, 0.5f, 1, 1.5f});
  CHECK(one({.crop_size = 1}, Phase::test) == std::vector<float>{1});  // floor of the centre
  CHECK(one({.mirror = true}, Phase::test) == std::vector<float>{0, 1, 2, 3, 4, 5});
  std::set<std::vector<float>> seen;
  Batcher b(numbered(1), {.mirror = true, .crop_size = 2}, {.batch = 1, .seed = 4});
  for (int i = 0; i < 100; ++i) seen.insert(b.next().data);
  CHECK(seen == std::set<std::vector<float>>{{0, 1, 3, 4}, {1, 0, 4, 3}, {1, 2, 4, 5}, {2, 1, 5, 4}});
  CHECK_THROWS_WITH(one({.crop_size = 3}, Phase::train), Catch::Contains("crop_size 3 does not fit"));
  CHECK_THROWS_WITH(one({.mean_value = {1, 2}}, Phase::train),
                    Catch::Contains("2 mean_value for 1 channels"));
  CHECK_THROWS_WITH(one({.mean_file = "m"}, Phase::train), Catch::Contains("mean_file"));
}

TEST_CASE("an error while a batch is made comes out of next", "[data]") {
  Batcher b(std::make_shared<Failing>(), {}, {.batch = 3});
  CHECK(b.next().labels == std::vector<float>{0, 1, 2});
  CHECK(b.next().labels == std::vector<float>{3, 4, 5});
  CHECK_THROWS_WITH(b.next(), Catch::Contains("sample 7"));
  CHECK_THROWS_WITH(b.next(), Catch::Contains("sample 7"));
  b.seek(8);
  CHECK(b.next().labels == std::vector<float>{8, 9, 10});
}

TEST_CASE("a batcher can be thrown away at any time", "[data]") {
  for (int i = 0; i < 50; ++i) {
    Batcher b(numbered(100), {},
              {.batch = 10, .seed = 1, .shuffle = true, .ahead = 1 + static_cast<std::size_t>(i % 4)});
    for (int k = 0; k < i % 5; ++k) b.next();
    if (i % 3 == 0) b.seek(i);
  }
  CHECK_THROWS_AS(Batcher(numbered(0), {}, {}), Error);
  CHECK_THROWS_AS(Batcher(numbered(5), {}, {.batch = 0}), SpecError);
}
