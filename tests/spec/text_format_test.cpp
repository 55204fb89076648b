// SPDX-License-Identifier: Apache-2.0
#include "crema/spec/text_format.hpp"

#include <algorithm>

#include "catch.hpp"
#include "crema/spec/text_printer.hpp"

using namespace crema;

namespace {
/// What parse_net says about a text; "" if it takes it.
std::string complaint(const std::string& text, const TextOptions& options = {}) {
  try {
    parse_net(text, "net.prototxt", options);
    return "";
  } catch (const ParseError& e) {
    return e.what();
  }
}
}  // namespace

TEST_CASE("a net's text becomes a value", "[spec]") {
  const NetSpec net = parse_net(R"(# every spelling that protobuf's reader takes
name: "two" ' parts'   layer { name: 'conv\x31\062' type: "Convolution" bottom: "data" top: "conv1"
  param { lr_mult: 1.5e0f } param < lr_mult: 2, decay_mult: .0 >;
  convolution_param: { num_output: 0x14 kernel_size: [5, 3] group: 010 bias_term: f }}
)");
  NetSpec want{.name = "two parts"};
  want.layers = {
      layer("Convolution", "conv12", {"data"}, {"conv1"},
            ConvolutionOptions{.num_output = 20, .bias_term = false, .kernel_size = {5, 3}, .group = 8})};
  want.layers[0].param = {{.lr_mult = 1.5f}, {.lr_mult = 2.f, .decay_mult = 0.f}};
  CHECK(read_options<ConvolutionOptions>(net.layers.at(0)) ==
        read_options<ConvolutionOptions>(want.layers[0]));
  CHECK(net.layers.at(0).param == want.layers[0].param);
  CHECK(net.name == want.name);
  CHECK(net.layers.at(0).name == "conv12");
  CHECK(net.layers.at(0).where.line == 2);
}

TEST_CASE("text errors say where, what, and what was probably meant", "[spec]") {
  struct Case {
    const char *text, *where, *what;
  };
  const Case cases[] = {
      {"nam: \"x\"", "net.prototxt:1:1", "did you mean 'name'?"},
      {"layer {\n  nmae: \"x\"\n}", "net.prototxt:2:3",
       "LayerParameter has no field 'nmae'; did you mean 'name'?"},
      {"layer { convolution_param { num_outputs: 3 } }", ":1:29", "did you mean 'num_output'?"},
      {"layer { type: Convolution }", ":1:15", "'type' wants a string in quotes, found 'Convolution'"},
      {"layer { convolution_param { num_output: -1 } }", ":1:42",
       "a whole number from 0 to 4294967295, not -1"},
      {"layer { convolution_param { num_output: 4294967296 } }", ":1:41", "a whole number from 0"},
      {"layer { convolution_param { num_output: 2.5 } }", ":1:41", "not 2.5"},
      {"layer { pooling_param { pool: MEDIAN } }", ":1:31", "one of MAX, AVE, STOCHASTIC"},
      {"force_backward: 2", ":1:17", "true or false"},
      {"layer { loss_weight: one }", ":1:22", "a number, not one"},
      {"layer {\n\n  name: \"a\"", ":1:7", "never closed: a '}' is missing"},
      {"layer { name: \"a }\n}", ":1:15", "this string is not closed on its line"},
      {"name: \"a\" name: \"b\"", ":1:11", "'name' stands twice in this NetParameter: keep one"},
      {"layer { name \"a\" }", ":1:14", "expected ':' after 'name'"},
      {"layer: \"a\"", ":1:8", "expected '{' after 'layer'"},
      {"layer { top: [\"a\" \"b\" 3] }", ":1:23", "expected ',' or ']', found '3'"},
      {"layer { name: [\"a\"] }", ":1:15", "'name' takes one value, not a list"},
      {"}", ":1:1", "expected the name of a field of NetParameter, found '}'"},
      {"name: \"\\q\"", ":1:9", "unknown escape \\q"},
      {"name: \"\\ud800\"", ":1:9", "Unicode character"},
      {"layers { type: CONVOLUTION }", ":1:1", "V1 nets are not read"},
  };
  for (const Case& c : cases) {
    const std::string said = complaint(c.text);
    INFO(c.text << "\n-> " << said);
    CHECK(said.find(c.where) != std::string::npos);
    CHECK(said.find(c.what) != std::string::npos);
  }
}

TEST_CASE("several text errors are reported at once, up to the limit", "[spec]") {
  std::string text;
  for (int i = 0; i < 50; ++i) text += cat("field", i, ": 1\n");
  const auto lines = [](const std::string& s) { return 1 + std::count(s.begin(), s.end(), '\n'); };
  CHECK(lines(complaint(text)) == Limits{}.errors);
  Limits three;
  three.errors = 3;
  CHECK(lines(complaint(text, {.limits = three})) == 3);
  CHECK(lines(complaint("a: 1 b { c: 1 } name: \"x\" layer { top: 3 }")) == 3);
}

TEST_CASE("limits stop hostile text", "[spec]") {
  std::string deep = "layer { ";
  for (int i = 0; i < 100; ++i) deep += "convolution_param { weight_filler { ";
  CHECK(complaint(deep).find("this bracket is never closed") != std::string::npos);
  Limits small;
  small.layers = 2, small.fields = 10, small.nesting = 1, small.bytes = 200;
  CHECK(complaint("layer {} layer {} layer {}", {.limits = small}).find("more than 2 layers") !=
        std::string::npos);
  CHECK(complaint("layer { param { } }", {.limits = small}).find("nested too deeply") != std::string::npos);
  CHECK(complaint("layer { top: [\"1\", \"2\", \"3\", \"4\", \"5\", \"6\", \"7\", \"8\", \"9\", \"10\"] }",
                  {.limits = small})
            .find("more than 10 fields") != std::string::npos);
  CHECK(complaint(std::string(201, ' '), {.limits = small}).find("more than the limit of 200") !=
        std::string::npos);
}

TEST_CASE("every cut of a net's text is taken or refused, never worse", "[spec]") {
  const std::string text =
      "name: \"n\" layer { name: \"c\" type: \"Convolution\" bottom: [\"a\", \"b\"] loss_weight: 1e-3 "
      "convolution_param { "
      "num_output: 0x1f kernel_size: 3 weight_filler < type: \"xa\\x41vier\" > } } # end\nstate { level: -1 "
      "stage: \"s\" }";
  int refused = 0;
  for (std::size_t n = 0; n <= text.size(); ++n) refused += !complaint(text.substr(0, n)).empty();
  CHECK(refused > 150);
  CHECK(complaint(text).empty());
  for (std::size_t i = 0; i < text.size(); ++i)
    for (const char c : {'\0', '{', '}', '"', '[', '9', '\\', '\xff'}) {
      std::string damaged = text;
      damaged[i] = c;
      complaint(damaged);  // any exception but ParseError fails the test
    }
}

TEST_CASE("unknown text is kept when asked for, and printed back", "[spec]") {
  std::vector<std::string> warnings;
  const std::string text = "layer { name: \"x\" my_param { a: 1 b { c: \"}\" } } speed: 3 } cache: [1, 2]";
  const NetSpec net = parse_net(text, "n", {.keep_unknown = true, .warnings = &warnings});
  REQUIRE(warnings.size() == 3);
  CHECK(warnings[0] == "n:1:19: kept unknown field 'my_param' of LayerParameter");
  const std::string printed = print(net);
  CHECK(printed.find("my_param { a: 1 b { c: \"}\" } }") != std::string::npos);
  CHECK(parse_net(printed, "n", {.keep_unknown = true}) == net);
}
