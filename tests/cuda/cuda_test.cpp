// SPDX-License-Identifier: Apache-2.0
// The CUDA backend against the CPU: ops, a net, a training job.
#include "crema/cuda/cuda.hpp"

#include "catch.hpp"
#include "crema/cpu/cpu.hpp"
#include "crema/layers/all.hpp"
#include "crema/net/net.hpp"
#include "crema/solvers/all.hpp"
#include "crema/spec/text_format.hpp"

using namespace crema;

namespace {

std::vector<double> numbers(std::size_t n, std::string_view name) {
  std::vector<double> v(n);
  for (std::uint32_t i = 0; i < n; ++i) v[i] = 2 * uniform(philox({i, 0, 0, 0}, random_key(1, name))[0]) - 1;
  return v;
}
template <class T, class B>
Buffer<T, B> put(B& b, const std::vector<double>& v) {
  const std::vector<T> host(v.begin(), v.end());
  Buffer<T, B> buffer(b, v.size());
  b.copy_in(buffer.data(), host.data(), host.size() * sizeof(T));
  return buffer;
}
template <class T, class B>
std::vector<double> get(B& b, const Buffer<T, B>& buffer) {
  std::vector<T> host(buffer.size());
  b.copy_out(host.data(), buffer.data(), host.size() * sizeof(T));
  return {host.begin(), host.end()};
}

/// Losses of some steps of a small net, and its weights after them.
template <class T, class B>
std::pair<std::vector<double>, std::vector<double>> train(B& b) {
  const NetSpec spec = parse_net(R"(
    layer { name: "in" type: "Input" top: "x" top: "label" input_param { shape { dim: [24, 3, 4, 5] } shape { dim: 24 } } }
    layer { name: "flat" type: "Flatten" bottom: "x" top: "flat" }
    layer { name: "ip1" type: "InnerProduct" bottom: "flat" top: "ip1" inner_product_param { num_output: 37 weight_filler { type: "xavier" } } }
    layer { name: "relu" type: "ReLU" bottom: "ip1" top: "ip1" }
    layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2" param { lr_mult: 1 } param { lr_mult: 2 }
      inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" })");
  Net<T, B> net(b, spec, all_layers<T, B>(), {.seed = 1});
  const std::vector<double> values = numbers(24 * 60, "x");
  const std::vector<T> x(values.begin(), values.end());
  std::vector<T> label(24);
  for (std::size_t i = 0; i < label.size(); ++i) label[i] = static_cast<T>(i % 5);
  net.write("x", x), net.write("label", label);
  SolverSpec s;
  s.base_lr = 0.1f, s.lr_policy = "fixed", s.momentum = 0.9f, s.weight_decay = 1e-3f, s.clip_gradients = 1;
  const auto solver = make_solver<T, B>(b, s, *net.parameters());
  StoreGradients<T, B> store;
  std::vector<double> losses;
  for (std::uint64_t i = 0; i < 20; ++i) {
    const auto loss = net.forward({.iteration = i});
    losses.push_back(objective(net.outputs(), loss));
    net.backward({.iteration = i}, loss_scales(net.outputs(), loss), store);
    solver->update(b, *net.parameters(), net.gradients(), static_cast<std::int64_t>(i));
  }
  std::vector<T> w(net.parameters()->values().size());
  b.copy_out(w.data(), net.parameters()->values().data(), w.size() * sizeof(T));
  return {losses, {w.begin(), w.end()}};
}

}  // namespace

TEST_CASE("gemm on CUDA gives the CPU's products", "[cuda]") {
  Cuda cuda;
  Cpu cpu;
  const std::int64_t m = 37, n = 65, k = 129;
  for (const Transpose ta : {Transpose::no, Transpose::yes})
    for (const Transpose tb : {Transpose::no, Transpose::yes}) {
      const auto a = numbers(static_cast<std::size_t>(m * k), "a"),
                 b = numbers(static_cast<std::size_t>(n * k), "b"),
                 c = numbers(static_cast<std::size_t>(m * n), "c");
      const std::int64_t lda = ta == Transpose::yes ? m : k, ldb = tb == Transpose::yes ? k : n;
      const auto run = [&](auto& backend) {
        const auto x = put<double>(backend, a), y = put<double>(backend, b), z = put<double>(backend, c);
        gemm<double>(backend, ta, tb, m, n, k, 0.5, x.data(), lda, y.data(), ldb, 2, z.data(), n);
        return get(backend, z);
      };
      const auto device = run(cuda), host = run(cpu);
      for (std::size_t i = 0; i < host.size(); ++i) REQUIRE(device[i] == Approx(host[i]).margin(1e-12));
    }
}

TEST_CASE("sums, checks and the update on CUDA", "[cuda]") {
  Cuda cuda;
  Cpu cpu;
  std::vector<double> v = numbers(100003, "v");
  const auto d = put<float>(cuda, v);
  const auto h = put<float>(cpu, v);
  const std::span<const float> on_device(d.data(), d.size()), on_host(h.data(), h.size());
  CHECK(sum_of_squares<float>(cuda, on_device) == Approx(sum_of_squares<float>(cpu, on_host)).epsilon(1e-12));
  CHECK(sum_of_squares<float>(cuda, on_device) == sum_of_squares<float>(cuda, on_device));
  CHECK(all_finite<float>(cuda, on_device));
  v[77777] = std::nan("");
  const auto bad = put<float>(cuda, v);
  CHECK(!all_finite<float>(cuda, std::span<const float>(bad.data(), bad.size())));
}

TEST_CASE("a net trains on CUDA as on the CPU", "[cuda]") {
  Cuda cuda;
  Cpu cpu;
  const auto [device, device_weights] = train<double, Cuda>(cuda);
  const auto [host, host_weights] = train<double, Cpu>(cpu);
  for (std::size_t i = 0; i < host.size(); ++i) CHECK(device[i] == Approx(host[i]).epsilon(1e-10));
  for (std::size_t i = 0; i < host_weights.size(); ++i)
    REQUIRE(device_weights[i] == Approx(host_weights[i]).margin(1e-10));
  CHECK(host.back() < 0.5 * host.front());
  const auto f = train<float, Cuda>(cuda), again = train<float, Cuda>(cuda);
  CHECK(f.first.back() == Approx(host.back()).epsilon(1e-3));
  CHECK(f.second == again.second);
}

TEST_CASE("what CUDA lacks is refused by name, and labels are checked", "[cuda]") {
  Cuda cuda;
  CHECK_THROWS_AS((Net<float, Cuda>(cuda, parse_net(R"(
    layer { name: "in" type: "Input" top: "x" input_param { shape { dim: [1, 1, 4, 4] } } }
    layer { name: "p" type: "Pooling" bottom: "x" top: "y" pooling_param { kernel_size: 2 } })"),
                                    all_layers<float, Cuda>())),
                  SpecError);
  CHECK_THROWS_AS(Cuda({.device = Cuda::devices()}), CudaError);
  const auto p = put<float>(cuda, {0.5, 0.5, 0.25, 0.75}), label = put<float>(cuda, {1, 2});
  CHECK_THROWS_AS((softmax_loss_forward<float>(cuda, 1, {p.data(), Shape{2, 2}, {}},
                                               {label.data(), Shape{2}, {}}, false, 0)),
                  DataError);
}
