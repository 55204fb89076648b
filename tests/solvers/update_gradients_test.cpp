// SPDX-License-Identifier: Apache-2.0
#include "crema/solvers/update_gradients.hpp"

#include "catch.hpp"
#include "crema/cpu/cpu.hpp"
#include "crema/layers/all.hpp"
#include "crema/net/net.hpp"
#include "crema/solvers/all.hpp"
#include "crema/spec/text_format.hpp"

using namespace crema;

namespace {

// ip1 is large enough to be updated in pieces; ip2 and ip3 share their weights; ip4 does not learn.
const std::string prototxt = R"(
layer { name: "in" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 18 dim: 2 dim: 34 dim: 34 } shape { dim: 18 } } }
layer { name: "c1" type: "Convolution" bottom: "data" top: "c1"
  convolution_param { num_output: 6 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "ip1" type: "InnerProduct" bottom: "c1" top: "ip1"
  param { lr_mult: 1 decay_mult: 2 } param { lr_mult: 2 decay_mult: 0 }
  inner_product_param { num_output: 180 weight_filler { type: "xavier" } } }
layer { name: "r1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2" param { name: "w" }
  inner_product_param { num_output: 180 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "ip3" type: "InnerProduct" bottom: "ip2" top: "ip3" param { name: "w" }
  inner_product_param { num_output: 180 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "ip4" type: "InnerProduct" bottom: "ip3" top: "ip4" param { lr_mult: 0 }
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip4" bottom: "label" top: "loss" }
)";

template <class T>
struct Run {
  Cpu cpu;
  Net<T, Cpu> net;
  std::unique_ptr<Solver<T, Cpu>> solver;

  Run(int threads, bool canonical, const std::string& regularization)
      : cpu({.threads = threads}),
        net(cpu, parse_net(prototxt), all_layers<T, Cpu>(), {.canonical = canonical, .seed = 3}),
        solver(make_solver<T>(cpu,
                              {.base_lr = 0.05f,
                               .lr_policy = "fixed",
                               .momentum = 0.9f,
                               .weight_decay = 1e-3f,
                               .regularization_type = regularization},
                              *net.parameters())) {
    for (const auto& in : net.inputs()) {
      std::vector<T> v(static_cast<std::size_t>(in.shape.size()));
      for (std::uint32_t i = 0; i < v.size(); ++i) {
        const std::uint32_t r = philox({i, 0, 0, 0}, random_key(1, in.name))[0];
        v[i] = in.shape.rank() == 1 ? static_cast<T>(r % 4) : static_cast<T>(uniform(r) - 0.5);
      }
      net.write(in.name, v);
    }
  }
  double forward(std::int64_t i, std::vector<double>& scale) {
    const auto losses = net.forward({.seed = 9, .iteration = static_cast<std::uint64_t>(i)});
    scale = loss_scales(net.outputs(), losses);
    return objective(net.outputs(), losses);
  }
  std::vector<T> weights() const {
    const auto w = net.parameters()->values();
    return {w.begin(), w.end()};
  }
  std::vector<T> history() const {
    const auto h = solver->history(0);
    return {h.begin(), h.end()};
  }
};

}  // namespace

TEMPLATE_TEST_CASE("Weights updated during backward have the bits of an update after it", "[solvers]", float,
                   double) {
  using T = TestType;
  for (const bool canonical : {false, true})
    for (const std::string regularization : {"L2", "L1"}) {
      CAPTURE(canonical, regularization);
      Run<T> after(1, canonical, regularization), during(3, canonical, regularization);
      UpdateGradients<T, Cpu> update(*during.solver, *during.net.parameters());
      StoreGradients<T, Cpu> store;
      for (std::int64_t i = 0; i < 4; ++i) {
        const Step step{.seed = 9, .iteration = static_cast<std::uint64_t>(i)};
        std::vector<double> scale;
        update.begin(i);
        const double loss = after.forward(i, scale);
        CHECK(during.forward(i, scale) == loss);
        after.net.backward(step, scale, store);
        after.solver->update(after.cpu, *after.net.parameters(), after.net.gradients(), i);
        during.net.backward(step, scale, update);
        update.end();
      }
      CHECK(during.weights() == after.weights());
      CHECK(during.history() == after.history());
    }
}

TEST_CASE("Large weights are handed on in pieces and each of them once, where a sink takes pieces",
          "[solvers]") {
  struct Counting final : GradSink<float, Cpu> {
    explicit Counting(std::size_t n, bool pieces) : count(n), takes(pieces) {}
    bool takes_pieces() const override { return takes; }
    void take(Cpu&, std::size_t first, std::span<const float> piece) override {
      ++calls;
      for (std::size_t i = 0; i < piece.size(); ++i) ++count[first + i];
    }
    std::vector<std::atomic<int>> count;
    std::atomic<int> calls{0};
    bool takes;
  };
  Run<float> run(3, false, "L2");
  for (const bool pieces : {false, true}) {
    std::vector<double> scale;
    run.forward(0, scale);
    Counting sink(run.net.parameters()->values().size(), pieces);
    run.net.backward({.seed = 9}, scale, sink);
    int learned = 0;
    for (const Segment& s : run.net.parameters()->segments()) {
      CAPTURE(s.layer, s.param);
      learned += s.lr_mult != 0;
      bool once = true;
      for (std::size_t i = s.offset; i < s.offset + s.count; ++i)
        once = once && sink.count[i] == (s.lr_mult == 0 ? 0 : 1);
      CHECK(once);
    }
    CHECK((pieces ? sink.calls > 180 : sink.calls == learned));
  }
}
