// SPDX-License-Identifier: Apache-2.0
#include "crema/data/mean_image.hpp"

#include "catch.hpp"
#include "crema/data/batcher.hpp"
#include "temporary.hpp"

using namespace crema;

namespace {

std::shared_ptr<const MeanImage> counting(const Shape& shape) {
  auto m = std::make_shared<MeanImage>();
  m->shape = shape;
  for (std::int64_t i = 0; i < shape.size(); ++i) m->values.push_back(static_cast<float>(i));
  return m;
}

}  // namespace

TEST_CASE("the mean of a data set, written and read", "[data]") {
  const MemoryDataset data({1, 1, 2}, {0, 10, 1, 20, 5, 30}, {0, 1, 2});
  const MeanImage m = compute_mean_image(data);
  CHECK((m.shape == Shape{1, 1, 2} && m.values == std::vector<float>{2, 20}));
  CHECK(compute_mean_image(FloatDataset({1, 1, 1}, {1.5f, 2}, {0, 0})).values == std::vector<float>{1.75f});
  CHECK_THROWS_AS(compute_mean_image(MemoryDataset({1, 1, 1}, {}, {})), DataError);

  const TemporaryFolder t;
  const auto read = read_mean_image(t.write("m.binaryproto", write_wire(to_blob(m))));
  CHECK((read->shape == m.shape && read->values == m.values));
  BlobSpec b;
  b.shape = BlobShape{{3, 1, 2}};
  b.double_data = {1, 2, 3, 4, 5, 6};
  CHECK(read_mean_image(t.write("d.binaryproto", write_wire(b)))->values.back() == 6);
  b.shape = BlobShape{{1, 3, 1, 2}};
  CHECK(read_mean_image(t.write("d.binaryproto", write_wire(b)))->shape == Shape{3, 1, 2});
}

TEST_CASE("mean files that do not fit say so", "[data]") {
  const TemporaryFolder t;
  const auto fails = [&](const BlobSpec& b, const char* says) {
    const std::string path = t.write("bad.binaryproto", write_wire(b));
    CHECK_THROWS_WITH(read_mean_image(path), Catch::Contains(path) && Catch::Contains(says));
  };
  BlobSpec b;
  fails(b, "0 0 0 and holds 0");
  b.shape = BlobShape{{2, 3, 1, 2}}, b.data = std::vector<float>(12);
  fails(b, "2 3 1 2");
  b.shape = BlobShape{{3, 1, 5}};
  fails(b, "3 1 5 and holds 12");
  b.shape = BlobShape{{std::int64_t{1} << 62, std::int64_t{1} << 62, 16}};
  fails(b, "and holds 12");
  b.shape = BlobShape{{-3, -1, 4}};
  fails(b, "-3 -1 4");
  CHECK_THROWS_AS(read_mean_image(t.write("x", "no protobuf at all")), DataError);
  CHECK_THROWS_WITH(read_mean_image(t.path + "/none"), Catch::Contains("cannot be opened"));
}

TEST_CASE("a crop of a sample meets the same crop of the mean", "[data]") {
  // Samples equal to the mean: whatever the crop and the mirror, what is left is zero.
  const auto mean = counting({3, 5, 6});
  const MemoryDataset data({3, 5, 6}, std::vector<std::uint8_t>(mean->values.begin(), mean->values.end()),
                           {0});
  Sample s;
  data.read(0, s);
  for (const Phase phase : {Phase::train, Phase::test}) {
    const Transformer t({.scale = 2, .mirror = true, .crop_size = 3}, data.sample_shape(), phase, 1, mean);
    std::vector<float> out(27, 1);
    for (std::int64_t epoch = 0; epoch < 30; ++epoch) {
      t.apply(s, epoch, 0, out.data());
      CHECK(out == std::vector<float>(27, 0));
    }
  }
  std::vector<float> out(90);
  Transformer({.scale = 0.5f}, {3, 5, 6}, Phase::test, 1,
              std::make_shared<MeanImage>(MeanImage{{3, 5, 6}, std::vector<float>(90, 2)}))
      .apply(s, 0, 0, out.data());
  CHECK((out[0] == -1 && out[89] == 43.5f));
}

TEST_CASE("a mean image and options that contradict each other", "[data]") {
  const Shape shape{3, 5, 6};
  const auto make = [&](const TransformationOptions& o, std::shared_ptr<const MeanImage> mean) {
    Transformer(o, shape, Phase::train, 0, std::move(mean));
  };
  CHECK_THROWS_WITH(make({.mean_file = "m", .mean_value = {1}}, counting(shape)),
                    Catch::Contains("give one"));
  CHECK_THROWS_WITH(make({.mean_file = "m"}, {}), Catch::Contains("read_mean_image"));
  CHECK_THROWS_AS(make({.crop_size = 3}, counting({3, 3, 3})), ShapeError);
  CHECK_THROWS_WITH(make({.crop_size = 3}, counting({3, 3, 3})),
                    Catch::Contains("3 3 3 (27)") && Catch::Contains("3 5 6"));
  CHECK_THROWS_WITH(make({.force_color = true}, {}), Catch::Contains("ImageOptions::color"));
  Batcher b(
      std::make_shared<MemoryDataset>(Shape{1, 1, 2}, std::vector<std::uint8_t>{4, 6}, std::vector<float>{1}),
      {}, {.mean = counting({1, 1, 2})});
  CHECK(b.next().data == std::vector<float>{4, 5});
}
