// SPDX-License-Identifier: Apache-2.0
#include "crema/data/image_list.hpp"

#include "catch.hpp"
#include "crema/data/batcher.hpp"
#include "encoders.hpp"
#include "temporary.hpp"

using namespace crema;

TEST_CASE("the lines of an image list", "[data]") {
  const auto e = parse_image_list("a.jpg 3\n\n  b c.png  -1 \r\nd 0.5", "list.txt");
  REQUIRE(e.size() == 3);
  CHECK((e[0].path == "a.jpg" && e[0].label == 3));
  CHECK((e[1].path == "  b c.png " && e[1].label == -1));  // the last space counts
  CHECK((e[2].path == "d" && e[2].label == 0.5f));
  for (const char* bad : {"a.jpg", "a.jpg x", " 3", "a.jpg 3x"}) {
    INFO(bad);
    CHECK_THROWS_WITH(parse_image_list(cat("ok 1\n", bad, "\n"), "list.txt"),
                      Catch::Contains("list.txt:2: a line is a path"));
  }
}

TEST_CASE("images of a list, of one shape or resized to it", "[data]") {
  const TemporaryFolder t;
  t.write("im/a.pgm", "P5 2 2 255\nabcd");
  t.write("im/b c.ppm", "P6 2 2 255\nabcdefghijkl");
  t.write("im/wide.pgm", "P5 4 2 255\nabcdefgh");
  t.write("im/bad.pgm", "P5 4 2 255\nabc");
  t.write("out/secret.pgm", "P5 2 2 255\nabcd");
  const auto list = [&](const std::string& text) { return t.write("lists/x.txt", text); };
  list("im/a.pgm 3\nim/b c.ppm 1\n");
  const auto d = read_image_list("lists/x.txt", {}, {t.path});
  REQUIRE(d->size() == 2);
  CHECK(d->sample_shape() == Shape{3, 2, 2});  // colour unless asked otherwise
  Sample s;
  d->read(1, s);
  CHECK((s.label == 1 && s.bytes[0] == 'c' && s.bytes[11] == 'j'));
  const ImageListOptions grey{.root_folder = "im", .image = {.color = false}};
  list("a.pgm 3\nwide.pgm 4\n");
  const auto g = read_image_list("lists/x.txt", grey, {t.path});
  CHECK(g->sample_shape() == Shape{1, 2, 2});
  CHECK_THROWS_WITH(g->read(1, s), Catch::Contains("wide.pgm") &&
                                       Catch::Contains("new_height and new_width") &&
                                       Catch::Contains("1 2 4 (8)"));
  CHECK_THROWS_WITH(g->read(2, s), Catch::Contains("no sample 2"));
  const auto r = read_image_list("lists/x.txt", {"im/", {.color = false, .height = 3, .width = 3}}, {t.path});
  r->read(1, s);
  CHECK((r->sample_shape() == Shape{1, 3, 3} && s.bytes.size() == 9));
  Batcher b(r, {.crop_size = 2}, {.batch = 5});
  CHECK(b.next().labels == std::vector<float>{3, 4, 3, 4, 3});

  const auto fails = [&](const std::string& text, const std::string& says) {
    list(text);
    CHECK_THROWS_WITH(
        read_image_list("lists/x.txt", grey, {t.path + "/lists", t.path + "/im", t.path + "/."}),
        Catch::Contains(says) && Catch::Contains("lists/x.txt"));
  };
  fails("", "without images");
  fails("none.pgm 1", "'im/none.pgm' is not to be found");
  fails("bad.pgm 1", "truncated");
  list("a.pgm 0\n");
  CHECK_THROWS_WITH(read_image_list("x.txt", {"../out"}, {t.path + "/lists"}),
                    Catch::Contains("not to be found"));
  list("secret.pgm 0\n");
  CHECK_THROWS_WITH(read_image_list("x.txt", {"../out"}, {t.path + "/lists"}), Catch::Contains("outside"));
  CHECK_THROWS_WITH(read_image_list("", {}, {t.path}), Catch::Contains("source"));
}

#if defined(CREMA_HAS_JPEG) && defined(CREMA_HAS_PNG)
TEST_CASE("a list of JPEG and PNG", "[data]") {
  const TemporaryFolder t;
  t.write("a.jpg", jpeg(pattern(20, 30, 3), 20, 30, 3));
  t.write("b.png", png(pattern(25, 15, 3), 25, 15, PNG_COLOR_TYPE_RGB, 8));
  t.write("list.txt", "a.jpg 0\nb.png 1\n");
  const auto d = read_image_list("list.txt", {{}, {.color = true, .height = 16, .width = 16}}, {t.path});
  Sample s;
  for (int i = 0; i < 2; ++i) {
    d->read(i, s);
    CHECK(s.bytes.size() == 768);
  }
}
#endif
