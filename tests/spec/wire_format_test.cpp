// SPDX-License-Identifier: Apache-2.0
#include "crema/spec/wire_format.hpp"

#include <cstring>

#include "catch.hpp"
#include "crema/spec/text_format.hpp"

using namespace crema;

namespace {
NetSpec small_net() {
  NetSpec net =
      parse_net(R"(name: "n" layer { name: "c" type: "Convolution" bottom: "a" top: "b" loss_weight: 0.5
    include { phase: TEST stage: "s" } convolution_param { num_output: 3 kernel_size: 2 weight_filler { type: "xavier" } } })");
  net.layers[0].blobs = {{.data = {1, -2, 3.5f}, .shape = BlobShape{{3}}}, {.double_data = {0.1}}};
  return net;
}
std::string complaint(std::string_view bytes, const Limits& limits = {}) {
  try {
    parse_wire<NetSpec>(bytes, "net.caffemodel", limits);
    return "";
  } catch (const ParseError& e) {
    return e.what();
  }
}
}  // namespace

TEST_CASE("bytes as protobuf lays them out", "[spec]") {
  NetSpec net{.name = "ab"};
  net.layers = {layer("X", "y", {}, {})};
  CHECK(write_wire(net) == std::string("\x0a\x02"  // field 1, two bytes
                                       "ab"
                                       "\xa2\x06\x06"  // field 100, six bytes
                                       "\x0a\x01y\x12\x01X"));
  BlobSpec blob{.data = {1.f}, .shape = BlobShape{{300}}};
  CHECK(write_wire(blob) == std::string("\x2a\x04\x00\x00\x80\x3f\x3a\x04\x0a\x02\xac\x02", 12));  // packed
}

TEST_CASE("what is written reads back, unknown fields too", "[spec]") {
  const NetSpec net = small_net();
  const std::string bytes = write_wire(net);
  CHECK(parse_wire<NetSpec>(bytes) == net);
  const std::string with_unknown = bytes + std::string("\x80\x7d\x05", 3) + std::string("\x8a\x7d\x02hi", 5);
  CHECK(write_wire(parse_wire<NetSpec>(with_unknown)) == with_unknown);
}

TEST_CASE("numbers that are not packed are read like packed ones", "[spec]") {
  const std::string one_by_one("\x2d\x00\x00\x80\x3f\x2d\x00\x00\x00\x40", 10);
  CHECK(parse_wire<BlobSpec>(one_by_one).data == std::vector<float>{1, 2});
}

TEST_CASE("every cut of a file is refused with its byte, or is a whole message", "[spec]") {
  const std::string bytes = write_wire(small_net());
  int refused = 0;
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    const std::string said = complaint(bytes.substr(0, n));
    if (said.empty()) continue;  // cut between two fields
    ++refused;
    CHECK(said.find("net.caffemodel: byte ") == 0);
    CHECK(said.find("truncated, damaged or of another kind") != std::string::npos);
  }
  CHECK(refused > static_cast<int>(bytes.size()) - 5);
}

TEST_CASE("hostile lengths take no memory", "[spec]") {
  struct Case {
    const char* what;
    std::string bytes;
  };
  const Case cases[] = {
      {"a length of 4294967295 where 0 bytes are left",
       std::string("\x0a\xff\xff\xff\xff\x0f", 6)},  // a name of 4 GiB
      {"where 0 bytes are left",
       std::string("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11)},         // of 2^64 - 1
      {"more than 10 bytes", std::string("\x0a", 1) + std::string(11, '\xff')},  // no end
      {"field number of 0", std::string("\x02\x00", 2)},                         //
      {"", std::string("\xa2\x06\x04\x3a\x02\x2a\x00", 7)},                      // fine: empty array
      {"", std::string("\xa2\x06\x00", 3)},                                      // fine: empty layer
  };
  for (const Case& c : cases) {
    const std::string said = complaint(c.bytes);
    INFO(said);
    CHECK(said.empty() == (std::strlen(c.what) == 0));
    CHECK(said.find(c.what) != std::string::npos);
  }
  std::string deep;
  for (int i = 0; i < 20; ++i) deep = "\xa2\x06" + std::string(1, static_cast<char>(deep.size())) + deep;
  CHECK_NOTHROW(complaint(deep));
  Limits small;
  small.bytes = 10, small.fields = 3;
  CHECK(complaint(std::string(11, '\0'), small).find("limit of 10") != std::string::npos);
  CHECK(complaint("\x28\x01\x28\x01\x28\x01\x28\x01", small).find("more than 3 fields") != std::string::npos);
}

TEST_CASE("flipped bits are taken or refused, never worse", "[spec]") {
  const std::string bytes = write_wire(small_net());
  for (std::size_t i = 0; i < bytes.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      complaint(damaged);  // any exception but ParseError fails the test
    }
}
