// SPDX-License-Identifier: Apache-2.0
#include "crema/train/weights.hpp"

#include "catch.hpp"
#include "tiny.hpp"

using namespace crema_test;

TEST_CASE("weights are copied by layer name, and the report says what did not match", "[train]") {
  Tiny from(1), to(2);
  NetSpec weights = with_weights(from.cpu, from.net);
  CHECK(from.weights() != to.weights());
  CopyReport all = copy_weights(to.cpu, to.net, weights);
  CHECK(from.weights() == to.weights());
  CHECK(all.text() == "copied 2 layers");
  for (LayerSpec& l : weights.layers)
    if (l.name == "ip") l.name = "fc";
  Tiny fresh(3);
  const CopyReport some = copy_weights(fresh.cpu, fresh.net, weights);
  CHECK(some.copied == std::vector<std::string>{"conv"});
  CHECK(some.missing == std::vector<std::string>{"ip"});
  CHECK(some.unused == std::vector<std::string>{"fc"});
  CHECK(some.text() == "copied 1 layer; not in the file: ip; not in the net: fc");
}

TEST_CASE("old blobs of four extents fit", "[train]") {
  Tiny from(1), to(2);
  NetSpec weights = with_weights(from.cpu, from.net);
  for (LayerSpec& l : weights.layers)
    for (BlobSpec& b : l.blobs) {
      std::vector<std::int64_t> e = b.shape->dim;
      e.insert(e.begin(), 4 - e.size(), 1);
      b.shape.reset();
      b.num = static_cast<int>(e[0]), b.channels = static_cast<int>(e[1]), b.height = static_cast<int>(e[2]),
      b.width = static_cast<int>(e[3]);
    }
  copy_weights(to.cpu, to.net, weights);
  CHECK(from.weights() == to.weights());
}

TEST_CASE("weights that do not fit are refused before anything changes", "[train]") {
  Tiny from(1), to(2);
  const std::vector<float> before = to.weights();
  const auto refusal = [&](const auto& change) {
    NetSpec weights = with_weights(from.cpu, from.net);
    for (LayerSpec& l : weights.layers)
      if (l.name == "ip") change(l);
    try {
      copy_weights(to.cpu, to.net, weights);
      return std::string();
    } catch (const Error& e) {
      CHECK(to.weights() == before);
      return std::string(e.what());
    }
  };
  CHECK(refusal([](LayerSpec& l) {
          l.blobs[0].shape->dim = {3, 17};
        }).find("layer 'ip' blob 0 (weight) has shape 3 17") != std::string::npos);
  CHECK(refusal([](LayerSpec& l) {
          l.blobs.pop_back();
        }).find("layer 'ip' has 1 blobs in the file, but 2 in the net") != std::string::npos);
  CHECK(refusal([](LayerSpec& l) {
          l.blobs[1].data.pop_back();
        }).find("holds 2 numbers where its shape says 3") != std::string::npos);
}

TEST_CASE("doubles are read into floats", "[train]") {
  const BlobSpec doubles = to_blob<double>(Shape{2}, {0.5, 0.25});
  check_blob(doubles, Shape{2}, "x");
  Cpu cpu({.threads = 1});
  std::vector<float> floats(2);
  copy_blob(cpu, doubles, std::span(floats));
  CHECK(floats == std::vector<float>{0.5f, 0.25f});
}
