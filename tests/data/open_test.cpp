// SPDX-License-Identifier: Apache-2.0
#include "crema/data/open.hpp"

#include <unistd.h>

#include "catch.hpp"
#include "temporary.hpp"

using namespace crema;

namespace {
std::string record(std::vector<int> labels) {
  std::string s;
  for (const int l : labels) s += static_cast<char>(l);
  return s + std::string(cifar_pixels, static_cast<char>(labels.back() + 1));
}
}  // namespace

TEST_CASE("CIFAR-10 and CIFAR-100 files", "[data]") {
  const TemporaryFolder t;
  const auto ten = read_cifar({t.write("a.bin", record({3}) + record({9})), t.write("b.bin", record({0}))});
  REQUIRE(ten->size() == 3);
  CHECK(ten->sample_shape() == Shape{3, 32, 32});
  Sample s;
  ten->read(1, s);
  CHECK((s.label == 9 && s.bytes[0] == 10));
  const auto hundred = read_cifar({t.write("train.bin", record({5, 77}))});
  hundred->read(0, s);
  CHECK((s.label == 77 && s.bytes[3071] == 78));
  CHECK_THROWS_WITH(read_cifar({t.write("c.bin", record({3}).substr(1))}),
                    Catch::Contains("no multiple of a CIFAR record"));
  CHECK_THROWS_WITH(read_cifar({t.write("d.bin", record({3}) + record({10}))}),
                    Catch::Contains("record 1 has label 10"));
  CHECK_THROWS_AS(read_cifar({t.write("e.bin", "")}), DataError);
}

TEST_CASE("a source is recognised by its bytes", "[data]") {
  const TemporaryFolder t;
  t.write("m/x-images-idx3-ubyte", idx({1, 2, 2}, "abcd"));
  t.write("m/x-labels-idx1-ubyte", idx({1}, "\1"));
  t.write("m/y.bin", record({1}));
  t.write("c/data_batch_2.bin", record({2}));
  t.write("c/data_batch_1.bin", record({1}));
  CHECK(open_dataset("x-images-idx3-ubyte", {t.path + "/m"})->sample_shape() == Shape{1, 2, 2});
  CHECK(open_dataset("y.bin", {t.path + "/c", t.path + "/m"})->sample_shape() == Shape{3, 32, 32});
  const auto folder = open_dataset("c", {t.path});
  Sample s;
  folder->read(0, s);
  CHECK((folder->size() == 2 && s.label == 1));
  CHECK_THROWS_WITH(open_dataset("m", {t.path}), Catch::Contains("LMDB"));
  CHECK_THROWS_WITH(open_dataset("", {t.path}), Catch::Contains("needs a `source`"));
  CHECK_THROWS_WITH(open_dataset("z", {t.path}),
                    Catch::Contains("not to be found") && Catch::Contains("--data-root"));
}

TEST_CASE("a source outside the roots is refused", "[data]") {
  const TemporaryFolder t;
  const std::string secret = t.write("secret/y.bin", record({1}));
  t.write("rootless/y.bin", record({1}));
  t.write("root/a/y.bin", record({1}));
  const std::string root = t.path + "/root";
  CHECK(resolve_under("a/../a/y.bin", {root}).ends_with("root/a/y.bin"));
  for (const std::string& bad : {std::string("../secret/y.bin"), std::string("a/../../secret/y.bin"), secret,
                                 std::string("../rootless/y.bin")}) {
    INFO(bad);
    CHECK_THROWS_WITH(resolve_under(bad, {root}),
                      Catch::Contains("outside the folders") && Catch::Contains("--data-root"));
  }
  REQUIRE(symlink(secret.c_str(), (root + "/link").c_str()) == 0);
  CHECK_THROWS_WITH(resolve_under("link", {root}), Catch::Contains("outside"));
  CHECK(resolve_under("link", {root, t.path + "/secret"}).ends_with("secret/y.bin"));
  CHECK(resolve_under(secret, {root, t.path + "/secret"}).ends_with("secret/y.bin"));
}
