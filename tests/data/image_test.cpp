// SPDX-License-Identifier: Apache-2.0
#include "crema/data/image.hpp"

#include "catch.hpp"
#include "encoders.hpp"

using namespace crema;

namespace {

Image decode(const std::string& bytes, const ImageOptions& o = {}, const Limits& limits = {}) {
  return decode_image(as_bytes(bytes), "some image", o, limits);
}
using Bytes = std::vector<std::uint8_t>;

/// Decodes what may be damaged: fine, or a DataError that names the image.
bool survives(const std::string& bytes) {
  Limits limits;
  limits.elements = 1 << 20;
  try {
    const Image i = decode(bytes, {}, limits);
    return i.shape.size() == static_cast<std::int64_t>(i.pixels.size());
  } catch (const DataError& e) {
    return e.message().starts_with("some image: ");
  }
}

}  // namespace

TEST_CASE("PPM and PGM", "[data]") {
  const std::string ppm = std::string("P6 # two pixels\n2 1\n255\n") + "\x01\x02\x03\x0a\x14\x1e";
  Image i = decode(ppm);
  CHECK(i.shape == Shape{3, 1, 2});
  CHECK(i.pixels == Bytes{3, 30, 2, 20, 1, 10});  // B, G, R
  CHECK(decode(ppm, {.color = false}).pixels == Bytes{2, 18});
  const std::string pgm = "P5\n3 1\n255\nabc";
  CHECK(decode(pgm).shape == Shape{1, 1, 3});
  CHECK(decode(pgm, {.color = true}).pixels == Bytes{'a', 'b', 'c', 'a', 'b', 'c', 'a', 'b', 'c'});
  for (std::size_t n = 3; n < ppm.size(); ++n) CHECK_THROWS_AS(decode(ppm.substr(0, n)), DataError);
  CHECK_THROWS_WITH(decode("P5 99999999 99999999 255 x"), Catch::Contains("some image: announces"));
  CHECK_THROWS_WITH(decode("P5 2 2 255 abc"), Catch::Contains("truncated"));
  CHECK_THROWS_WITH(decode("P5 2 2 65535 abcdefgh"), Catch::Contains("65535"));
  CHECK_THROWS_WITH(decode("P5 0 2 255 abcdefgh"), Catch::Contains("2 x 0"));
}

TEST_CASE("resizing is bilinear, pixel centres on each other", "[data]") {
  const Image i{{1, 1, 2}, {0, 100}};
  CHECK(resize_image(i, 1, 4).pixels == Bytes{0, 25, 75, 100});
  CHECK(resize_image(i, 2, 1).pixels == Bytes{50, 50});
  CHECK(resize_image({{2, 2, 2}, {0, 10, 20, 30, 4, 4, 4, 4}}, 1, 1).pixels == Bytes{15, 4});
  CHECK(resize_image(i, 1, 2).pixels == i.pixels);
  CHECK_THROWS_AS(resize_image(i, 0, 2), ShapeError);
  const std::string pgm = "P5\n2 1\n255\nae";
  CHECK(decode(pgm, {.height = 1, .width = 4}).pixels == Bytes{'a', 'b', 'd', 'e'});
  CHECK_THROWS_AS(decode(pgm, {.height = 2}), SpecError);
  CHECK_THROWS_WITH(decode(pgm, {.height = 1 << 20, .width = 1 << 20}),
                    Catch::Contains("more than the limit"));
}

TEST_CASE("what is no image says so", "[data]") {
  CHECK_FALSE(is_encoded_image({}));
  for (const char* bytes : {"", "P", "P5", "GIF89a", "\xff\xd8"}) {
    CHECK_FALSE(is_encoded_image(as_bytes(bytes)));
    CHECK_THROWS_WITH(decode(bytes), Catch::Contains("some image: no image that can be read"));
  }
}

#if defined(CREMA_HAS_JPEG) && defined(CREMA_HAS_PNG)
TEST_CASE("PNG of all kinds comes as 8 bits, B, G, R or grey", "[data]") {
  const Image rgb = decode(png({1, 2, 3, 10, 20, 30}, 1, 2, PNG_COLOR_TYPE_RGB, 8));
  CHECK(rgb.shape == Shape{3, 1, 2});
  CHECK(rgb.pixels == Bytes{3, 30, 2, 20, 1, 10});
  CHECK(decode(png({1, 2, 3, 99, 10, 20, 30, 0}, 1, 2, PNG_COLOR_TYPE_RGBA, 8)).pixels == rgb.pixels);
  CHECK(decode(png({1, 255, 2, 0, 3, 7, 10, 0, 20, 0, 30, 0}, 1, 2, PNG_COLOR_TYPE_RGB, 16)).pixels ==
        rgb.pixels);
  const Image grey = decode(png({5, 6}, 1, 2, PNG_COLOR_TYPE_GRAY, 8));
  CHECK((grey.shape == Shape{1, 1, 2} && grey.pixels == Bytes{5, 6}));
  CHECK(decode(png({5, 9, 6, 9}, 1, 2, PNG_COLOR_TYPE_GRAY_ALPHA, 8)).pixels == grey.pixels);
  CHECK(decode(png({0xa0}, 1, 4, PNG_COLOR_TYPE_GRAY, 1)).pixels == Bytes{255, 0, 255, 0});
  const std::string palette = png({3, 200}, 1, 2, PNG_COLOR_TYPE_PALETTE, 8);
  CHECK(decode(palette).pixels == Bytes{21, static_cast<std::uint8_t>(1400), 252, 55, 3, 200});
  CHECK(decode(palette, {.color = false}).shape == Shape{1, 1, 2});
  CHECK(decode(png({5, 6}, 1, 2, PNG_COLOR_TYPE_GRAY, 8), {.color = true}).pixels == Bytes{5, 6, 5, 6, 5, 6});
  const Bytes pixels = pattern(13, 17, 3);
  CHECK(decode(png(pixels, 13, 17, PNG_COLOR_TYPE_RGB, 8, true)).pixels ==
        decode(png(pixels, 13, 17, PNG_COLOR_TYPE_RGB, 8)).pixels);
}

TEST_CASE("JPEG comes near to what was encoded", "[data]") {
  for (const bool progressive : {false, true}) {
    Bytes flat;
    for (int i = 0; i < 40 * 24; ++i) flat.insert(flat.end(), {200, 100, 50});
    const Image i = decode(jpeg(flat, 40, 24, 3, progressive));
    REQUIRE(i.shape == Shape{3, 40, 24});
    for (const auto& [c, want] : {std::pair{0, 50}, {1, 100}, {2, 200}})
      CHECK(std::abs(i.pixels[static_cast<std::size_t>(c) * 960 + 500] - want) <= 2);
    CHECK(decode(jpeg(pattern(9, 5, 1), 9, 5, 1, progressive)).shape == Shape{1, 9, 5});
  }
  CHECK(decode(jpeg(pattern(8, 8, 4), 8, 8, 4)).shape == Shape{3, 8, 8});
}

TEST_CASE("truncated and damaged JPEG and PNG are errors, and take no memory", "[data]") {
  const Bytes pixels = pattern(31, 29, 3);
  for (const bool second : {false, true}) {
    const std::string j = jpeg(pixels, 31, 29, 3, second),
                      p = png(pixels, 31, 29, PNG_COLOR_TYPE_RGB, 8, second);
    for (std::size_t n = 3; n + 3 < j.size(); ++n) {
      INFO(n << " of " << j.size());
      CHECK_THROWS_WITH(decode(j.substr(0, n)), Catch::Contains("some image: a damaged JPEG"));
    }
    for (std::size_t n = 8; n < p.size(); ++n)
      CHECK_THROWS_WITH(decode(p.substr(0, n)), Catch::Contains("PNG"));
    std::uint32_t random = 1;
    for (int k = 0; k < 4000; ++k) {
      std::string bad = k % 2 ? j : p;
      for (int flips = 0; flips <= k % 3; ++flips) {
        random = random * 1664525 + 1013904223;
        bad[2 + random / 7 % (bad.size() - 2)] = static_cast<char>(random >> 24);
      }
      if (!survives(bad)) FAIL("change " << k);
    }
  }
  // The end marker alone may be missing where all pixels are there; bytes behind it do no harm.
  const std::string whole = jpeg(pixels, 31, 29, 3);
  CHECK(decode(whole.substr(0, whole.size() - 2)).pixels == decode(whole).pixels);
  CHECK(decode(whole + "more").pixels == decode(whole).pixels);
}

TEST_CASE("an image larger than the limits is refused by its header", "[data]") {
  Limits small;
  small.elements = 31 * 29 * 3 - 1;
  const Bytes pixels = pattern(31, 29, 3);
  for (const std::string& bytes : {jpeg(pixels, 31, 29, 3), png(pixels, 31, 29, PNG_COLOR_TYPE_RGB, 8)}) {
    CHECK_THROWS_WITH(decode(bytes, {}, small), Catch::Contains("announces 31 x 29 pixels"));
    CHECK(decode(bytes, {.color = false}, small).shape == Shape{1, 31, 29});
  }
  std::string bomb = jpeg(pixels, 31, 29, 3);
  const std::size_t frame = bomb.find("\xff\xc0");
  bomb.replace(frame + 5, 4, "\x40\x01\x40\x01");  // 16385 x 16385
  CHECK_THROWS_WITH(decode(bomb), Catch::Contains("too few"));
}
#else
TEST_CASE("without their components, JPEG and PNG say what to link", "[data]") {
  CHECK_THROWS_WITH(decode("\xff\xd8\xff\xe0"), Catch::Contains("crema::jpeg"));
}
#endif
