// SPDX-License-Identifier: Apache-2.0
#include "crema/net/net.hpp"

#include <atomic>
#include <cstdlib>
#include <new>

#include "catch.hpp"
#include "crema/cpu/cpu.hpp"
#include "crema/layers/all.hpp"
#include "crema/spec/text_format.hpp"

using namespace crema;

namespace {
std::atomic<std::size_t> allocations{0};  // counted by the operator new below

template <class T>
struct Bench {  // a net with inputs and the objective's gradient
  Cpu cpu{{.threads = 1}};
  Net<T, Cpu> net;
  std::vector<std::vector<T>> data;

  Bench(const std::string& prototxt, NetOptions options = {.seed = 3},
        std::shared_ptr<Parameters<T, Cpu>> shared = {})
      : net(cpu, parse_net(prototxt), all_layers<T, Cpu>(), options, shared) {
    feed();
  }
  /// Fixed random inputs; labels (rank 1) are classes 0 to 3.
  void feed() {
    data.clear();
    for (const auto& in : net.inputs()) {
      std::vector<T> v(static_cast<std::size_t>(in.shape.size()));
      for (std::size_t i = 0; i < v.size(); ++i) {
        const std::uint32_t r = philox({static_cast<std::uint32_t>(i), 0, 0, 0}, random_key(1, in.name))[0];
        v[i] = in.shape.rank() == 1 ? static_cast<T>(r % 4) : static_cast<T>(2 * uniform(r) - 1);
      }
      net.write(in.name, v);
      data.push_back(v);
    }
  }
  double loss(const Step& step = {.seed = 9}) { return objective(net.outputs(), net.forward(step)); }
  std::vector<T> gradients(const Step& step = {.seed = 9}) {
    const auto scale = loss_scales(net.outputs(), net.forward(step));
    StoreGradients<T, Cpu> store;
    net.backward(step, scale, store);
    return {net.gradients().begin(), net.gradients().end()};
  }
  void check_gradients(int samples = 40) {
    const std::vector<T> g = gradients();
    for (const Segment& s : net.parameters()->segments())
      for (std::size_t k = 0; k < s.count;
           k += std::max<std::size_t>(1, s.count / static_cast<std::size_t>(samples))) {
        const std::size_t i = s.offset + k;
        const T x = net.parameters()->values()[i], h = static_cast<T>(1e-6);
        net.parameters()->edit()[i] = x + h;
        const double up = loss();
        net.parameters()->edit()[i] = x - h;
        const double down = loss();
        net.parameters()->edit()[i] = x;
        INFO(s.layer << "/" << s.param << " " << k);
        CHECK(g[i] == Approx((up - down) / (2 * static_cast<double>(h))).epsilon(1e-5).margin(1e-7));
      }
  }
};

const std::string inputs = R"(
layer { name: "in" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 21 dim: 3 dim: 9 dim: 9 } shape { dim: 21 } } }
)";
const std::string body = R"(
layer { name: "c1" type: "Convolution" bottom: "data" top: "c1"
  convolution_param { num_output: 5 kernel_size: 3 weight_filler { type: "xavier" } bias_filler { value: 0.1 } } }
layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }
layer { name: "p1" type: "Pooling" bottom: "c1" top: "p1" pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "p1" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
)";
const std::string loss = R"(
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
layer { name: "acc" type: "Accuracy" bottom: "ip" bottom: "label" top: "acc" include { phase: TEST } }
)";

/// Squares, and knows nothing of orders.
template <class T, class B>
class Square final : public Layer<T, B> {
 public:
  static constexpr std::string_view type = "Square";
  static Plan plan(const LayerSpec& spec, std::span<const Shape> bottom) {
    check_bottoms(spec, bottom.size(), 1, 1);
    Plan p;
    p.top = {{.shape = bottom[0]}};
    p.backward_reads = Reads::bottom;
    return p;
  }
  explicit Square(const LayerSpec&) {}
  void forward(B&, const Forward<T, B>& f) override {
    REQUIRE(f.bottom[0].layout.order == Order::canonical);
    for (std::int64_t i = 0; i < f.bottom[0].shape.size(); ++i)
      f.top[0].data[i] = f.bottom[0].data[i] * f.bottom[0].data[i];
  }
  void backward(B&, const Backward<T, B>& k) override {
    for (std::int64_t i = 0; i < k.bottom[0].shape.size(); ++i) {
      T& d = k.bottom_diff[0].view.data[i];
      d = (k.bottom_diff[0].add ? d : T(0)) + 2 * k.bottom[0].data[i] * k.top_diff[0].data[i];
    }
  }
};
}  // namespace

#if !defined(CREMA_SANITIZED)  // sanitizers bring their own, and nothing is counted
[[gnu::noinline]] void* operator new(std::size_t n) {
  ++allocations;
  if (void* p = std::malloc(n)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t n, const std::nothrow_t&) noexcept {  // stable_sort's
  ++allocations;
  return std::malloc(n);
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }
#endif

TEST_CASE("a net's parameter gradients are those of its objective", "[net]") {
  Bench<double> b(inputs + body + loss);
  CHECK(b.net.plan().order == Order::native);
  CHECK(b.loss() > 0.1);
  b.check_gradients();
}

TEST_CASE("native and canonical nets agree", "[net]") {
  Bench<double> native(inputs + body + loss), canonical(inputs + body + loss, {.canonical = true, .seed = 3});
  CHECK(canonical.net.plan().order == Order::canonical);
  CHECK(native.loss() == Approx(canonical.loss()).epsilon(1e-12));
  const auto a = native.gradients(), c = canonical.gradients();
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a[i] - c[i]));
  CHECK(worst < 1e-12);
  CHECK(a != std::vector<double>(a.size()));
}

TEST_CASE("a blob with several users gets the sum of their gradients; shared weights too", "[net]") {
  Bench<double> b(inputs + R"(
layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
layer { name: "r" type: "ReLU" bottom: "a" top: "a" relu_param { negative_slope: 0.2 } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" } param { name: "bias" }
  inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
layer { name: "c" type: "InnerProduct" bottom: "b" top: "c" param { name: "w" } param { name: "bias" }
  inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
layer { name: "d" type: "InnerProduct" bottom: "a" top: "d" inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "l1" type: "SoftmaxWithLoss" bottom: "c" bottom: "label" top: "l1" loss_weight: 0.3 }
layer { name: "l2" type: "SoftmaxWithLoss" bottom: "d" bottom: "label" top: "l2" }
layer { name: "l3" type: "SoftmaxWithLoss" bottom: "b" bottom: "label" top: "l3" loss_weight: 0 }
)");
  CHECK(b.net.parameters()->segments().size() == 6);  // a: 2, b and c share 2, d: 2
  REQUIRE(b.net.outputs().size() == 3);
  CHECK(b.net.outputs()[0].loss_weight == 0.3f);
  b.check_gradients();
}

TEST_CASE("a layer that knows nothing of orders stands between native layers", "[net]") {
  const std::string text = inputs + body.substr(0, body.find("layer { name: \"p1\"")) + R"(
layer { name: "sq" type: "Square" bottom: "c1" top: "sq" }
layer { name: "p1" type: "Pooling" bottom: "sq" top: "p1" pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: "p2" type: "Pooling" bottom: "c1" top: "p2" pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "p1" top: "ip" inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "ip2" type: "InnerProduct" bottom: "p2" top: "ip2" inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "loss2" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss2" }
)" + loss;
  Cpu cpu({.threads = 1});
  auto registry = all_layers<double, Cpu>();
  registry.template add<Square>();
  Net<double, Cpu> net(cpu, parse_net(text), registry, {.seed = 3});
  Net<double, Cpu> oracle(cpu, parse_net(text), registry, {.canonical = true, .seed = 3});
  Bench<double> source(inputs + body + loss);
  std::vector<std::vector<double>> g;
  for (auto* n : {&net, &oracle}) {
    for (std::size_t i = 0; i < 2; ++i) n->write(n->inputs()[i].name, source.data[i]);
    const Step step;
    StoreGradients<double, Cpu> store;
    n->backward(step, loss_scales(n->outputs(), n->forward(step)), store);
    g.emplace_back(n->gradients().begin(), n->gradients().end());
  }
  for (std::size_t i = 0; i < g[0].size(); ++i)
    CHECK(g[0][i] == Approx(g[1][i]).epsilon(1e-10).margin(1e-13));
}

TEST_CASE("iter_size: gradients add up over parts", "[net]") {
  Bench<double> b(inputs + body + loss);
  const auto once = b.gradients();
  const Step step{.seed = 9};
  AddGradients<double, Cpu> add;
  b.net.backward(step, loss_scales(b.net.outputs(), b.net.forward(step)), add);
  for (std::size_t i = 0; i < once.size(); ++i)
    CHECK(b.net.gradients()[i] == Approx(2 * once[i]).margin(1e-15));
}

TEST_CASE("a short batch gives what a net of that size gives, and the full one again after it", "[net]") {
  Bench<float> b(inputs + body + loss);
  const double full = b.loss();
  const std::vector<Shape> small{{5, 3, 9, 9}, {5}};
  b.net.reshape(small);
  CHECK(b.net.shape("ip") == Shape{5, 4});
  b.feed();
  std::string text = inputs;
  for (std::size_t at; (at = text.find("dim: 21")) != std::string::npos;) text.replace(at, 7, "dim: 5");
  Bench<float> five(text + body + loss);
  CHECK(b.loss() == five.loss());
  CHECK(b.gradients() == five.gradients());
  const std::vector<Shape> again{{21, 3, 9, 9}, {21}}, larger{{40, 3, 9, 9}, {40}};
  b.net.reshape(again);
  b.feed();
  CHECK(b.loss() == full);
  b.net.reshape(larger);
  b.feed();
  CHECK(b.net.shape("p1") == Shape{40, 5, 3, 3});
  CHECK(b.loss() > 0);
}

TEST_CASE("a step allocates nothing, also after a change to a known batch size", "[net]") {
  Bench<float> b(inputs + body + loss);
  const std::vector<Shape> small{{5, 3, 9, 9}, {5}}, full{{21, 3, 9, 9}, {21}};
  std::vector<double> scale(b.net.outputs().size());
  StoreGradients<float, Cpu> store;
  const auto run = [&] {
    const Step step;
    b.net.write("data", b.data[0]);
    loss_scales(b.net.outputs(), b.net.forward(step), scale);
    b.net.backward(step, scale, store);
    b.net.parameters()->edit();
  };
  run();
  b.net.reshape(small), b.net.reshape(full);
  run();
  const std::size_t before = allocations;
  for (int i = 0; i < 3; ++i) {
    run();
    b.net.reshape(small);
    b.net.reshape(full);
  }
  CHECK(allocations == before);
}

TEST_CASE("a net without backward has no memory for it", "[net]") {
  Bench<float> b(R"(
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 32 dim: 16 dim: 8 dim: 8 } } }
layer { name: "norm" type: "LRN" bottom: "data" top: "norm" }
)",
                 {.phase = Phase::test});
  const std::size_t blob =
      32 * 16 * 8 * 8 * sizeof(float);  // data, norm and what LRN keeps; pitches add some
  CHECK(b.net.activation_bytes() >= 3 * blob);
  CHECK(b.net.activation_bytes() < 4 * blob);
}

TEST_CASE("phases, levels and stages choose layers", "[net]") {
  Bench<float> train(inputs + body + loss);
  CHECK(train.net.outputs().size() == 1);
  Bench<float> test(inputs + body + loss, {.phase = Phase::test, .seed = 3}, train.net.parameters());
  REQUIRE(test.net.outputs().size() == 2);
  CHECK(test.net.outputs()[0].name == "acc");
  CHECK(test.net.outputs()[0].kind == TopPlan::metric);
  CHECK(test.net.gradients().empty());
  CHECK(test.loss() == train.loss());
  CHECK(test.net.activation_bytes() < train.net.activation_bytes());
  CHECK_THROWS_WITH(
      [&] {
        std::vector<float> v(static_cast<std::size_t>(test.net.shape("c1").size()));
        test.net.forward({});
        test.net.read("c1", v);
      }(),
      Catch::Contains("keep"));

  NetStateRule rule;
  rule.phase = Phase::train, rule.min_level = 2, rule.stage = {"a"}, rule.not_stage = {"b"};
  CHECK(holds(rule, {Phase::train, 2, {"a"}}));
  CHECK(!holds(rule, {Phase::test, 2, {"a"}}));
  CHECK(!holds(rule, {Phase::train, 1, {"a"}}));
  CHECK(!holds(rule, {Phase::train, 2, {}}));
  CHECK(!holds(rule, {Phase::train, 2, {"a", "b"}}));
}

TEST_CASE("a TEST net of capacity 8 or less is canonical", "[net]") {
  std::string text = inputs;
  for (std::size_t at; (at = text.find("dim: 21")) != std::string::npos;) text.replace(at, 7, "dim: 3");
  Bench<float> small(text + body + loss, {.phase = Phase::test, .seed = 3}), train(text + body + loss);
  CHECK(small.net.plan().order == Order::canonical);
  CHECK(train.net.plan().order == Order::native);
  CHECK(small.loss() == Approx(train.loss()).epsilon(1e-5));
}

TEST_CASE("propagate_down and lr_mult 0 cut gradients off", "[net]") {
  std::string text = body;
  text.insert(text.find("pooling_param"), "propagate_down: false ");
  Bench<double> b(inputs + text + loss);
  const auto g = b.gradients();
  const auto& s = b.net.parameters()->segments();
  CHECK(std::all_of(g.begin(), g.begin() + static_cast<long>(s[2].offset), [](double x) { return x == 0; }));
  CHECK(std::any_of(g.begin() + static_cast<long>(s[2].offset), g.end(), [](double x) { return x != 0; }));
  CHECK(!b.net.plan().layers[1].backward);
}

TEST_CASE("read and write convert; sizes are checked", "[net]") {
  Bench<float> b(inputs + body + loss);
  std::vector<float> back(b.data[0].size());
  b.net.read("data", back);
  CHECK(back == b.data[0]);
  back.pop_back();
  CHECK_THROWS_AS(b.net.write("data", back), ShapeError);
  CHECK_THROWS_AS(b.net.read("nothing", back), SpecError);
}

TEST_CASE("nets that cannot be built say where and why", "[net]") {
  const auto fails = [](const std::string& text, const std::string& message) {
    INFO(message);
    CHECK_THROWS_WITH(Bench<float>(inputs + text), Catch::Contains(message));
  };
  fails(R"(layer { name: "r" type: "ReLU" bottom: "dta" top: "r" })",
        "no layer before it makes the blob 'dta'");
  fails(R"(layer { name: "r" type: "ReLU" bottom: "dta" top: "r" })", "layer 'r' (ReLU)");
  fails(R"(layer { name: "r" type: "Relu" bottom: "data" top: "r" })", "no layer type 'Relu'");
  fails(R"(layer { name: "r" type: "ReLU" bottom: "data" top: "label" })", "already made by layer 'in'");
  fails(R"(layer { name: "p" type: "Pooling" bottom: "data" top: "data" pooling_param { kernel_size: 2 } })",
        "cannot work in place");
  fails(R"(layer { name: "r" type: "ReLU" bottom: "data" top: "r" top: "s" })", "makes 1 top, not 2");
  fails(R"(layer { name: "r" type: "ReLU" bottom: "data" top: "r" param { lr_mult: 1 } })",
        "0 parameters, but 1 `param`");
  fails(R"(layer { name: "r" type: "ReLU" bottom: "data" top: "r" loss_weight: 1 })", "which is no loss");
  fails(
      R"(layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" param { name: "w" } inner_product_param { num_output: 3 } }
           layer { name: "b" type: "InnerProduct" bottom: "data" top: "b" param { name: "w" } inner_product_param { num_output: 4 } })",
      "the shapes differ");
}
