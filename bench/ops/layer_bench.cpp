// SPDX-License-Identifier: Apache-2.0
// The convolution and fully connected ops of a net, alone, in its training batch and native order.
//
//   layer_bench lenet.prototxt THREADS [Google Benchmark's flags]
//
// Each row is one op of one layer: forward, backward_data (not for the first layer, whose input has no
// gradient), backward_weights. GFLOP/s counts 2 per multiply-add of the images that there are, padding
// included; percent is the share of the ceiling of these threads. Weights change between calls, so that
// packing them counts.
#include <benchmark/benchmark.h>

#include <cstdio>

#include "../ceiling.hpp"
#include "crema/caffe/import.hpp"
#include "crema/cpu/cpu.hpp"
#include "crema/layers/all.hpp"

using namespace crema;

namespace {

using Values = Buffer<float, Cpu>;

Values random_values(Cpu& cpu, std::int64_t n) {
  Values v(cpu, static_cast<std::size_t>(n));
  for (std::uint32_t i = 0; i < v.size(); ++i)
    v.data()[i] = static_cast<float>(uniform(philox({i, 0, 0, 0}, random_key(1, "values"))[0]) - 0.5);
  return v;
}

/// One layer's blobs, native where the layer takes it.
struct Blobs {
  Layout x_layout, y_layout;
  Shape x_shape, y_shape;
  Values x, y, dx, dy, w, dw, bias;
  Blobs(Cpu& cpu, const Shape& xs, const Shape& ys, std::int64_t weights)
      : x_layout(dense_layout(xs, Order::native)),
        y_layout(dense_layout(ys, Order::native)),
        x_shape(xs),
        y_shape(ys),
        x(random_values(cpu, storage_size(xs, x_layout))),
        y(random_values(cpu, storage_size(ys, y_layout))),
        dx(random_values(cpu, storage_size(xs, x_layout))),
        dy(random_values(cpu, storage_size(ys, y_layout))),
        w(random_values(cpu, weights)),
        dw(random_values(cpu, weights)),
        bias(random_values(cpu, ys[1])) {}
  View<const float, Cpu> in() const { return {x.data(), x_shape, x_layout}; }
  View<float, Cpu> out() const { return {y.data(), y_shape, y_layout}; }
  View<const float, Cpu> out_diff() const { return {dy.data(), y_shape, y_layout}; }
  View<float, Cpu> in_diff() const { return {dx.data(), x_shape, x_layout}; }
};

class Rows {
 public:
  explicit Rows(Cpu& cpu) : cpu_(cpu), ceiling_(crema_bench::fma_ceiling(cpu)) {}

  void add(const NetPlan& plan, const NetPlan::Layer& layer) {
    const Shape& x = shape(plan, layer.bottom[0]);
    const Shape& y = shape(plan, layer.top[0]);
    const Shape& w = plan.segments[static_cast<std::size_t>(layer.params[0])].shape;
    const auto blobs = std::make_shared<Blobs>(cpu_, x, y, w.size());
    const double flops = 2.0 * static_cast<double>(y.size() / y[1] * w.size());
    const bool data = layer.wanted[0];
    if (layer.spec.type == "Convolution")
      convolution(layer.spec, blobs, flops, data);
    else
      inner_product(layer.spec.name, blobs, flops, data);
  }

 private:
  static const Shape& shape(const NetPlan& plan, int blob) {
    return plan.blobs[static_cast<std::size_t>(blob)].shape;
  }

  template <class F>
  void row(const std::string& name, double flops, F op) {
    const double full = ceiling_ * 1e9;
    benchmark::RegisterBenchmark(name.c_str(),
                                 [op, flops, full](benchmark::State& state) mutable {
                                   const double start = monotonic_seconds();
                                   for (auto _ : state) op();
                                   const double rate = flops * static_cast<double>(state.iterations()) /
                                                       (monotonic_seconds() - start);
                                   state.counters["GFLOP/s"] = rate * 1e-9;
                                   state.counters["percent"] = 100 * rate / full;
                                 })
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  }

  void convolution(const LayerSpec& spec, const std::shared_ptr<Blobs>& s, double flops, bool data) {
    const auto g = convolution_geometry(read_options<ConvolutionOptions>(spec), s->x_shape);
    const auto plan = std::make_shared<CpuConvolutionPlan<float>>(
        make_convolution_plan<float>(cpu_, g, s->x_layout, s->y_layout, s->x_shape[0]));
    row(spec.name + "/forward", flops, [this, s, plan, version = 0ull]() mutable {
      convolution_forward<float>(cpu_, *plan, s->w.data(), ++version, s->bias.data(), s->in(), s->out(), {});
    });
    if (data)
      row(spec.name + "/backward_data", flops, [this, s, plan, version = 0ull]() mutable {
        convolution_backward_data<float>(cpu_, *plan, s->w.data(), ++version, s->out_diff(), s->in_diff(),
                                         false);
      });
    const auto scratch = std::make_shared<Values>(cpu_, plan->gradient_scratch / sizeof(float));
    row(spec.name + "/backward_weights", flops, [this, s, plan, scratch] {
      convolution_backward_weights<float>(
          cpu_, *plan, s->in(), s->out_diff(), s->dw.data(), false,
          std::as_writable_bytes(std::span(scratch->data(), scratch->size())));
    });
  }

  void inner_product(const std::string& name, const std::shared_ptr<Blobs>& s, double flops, bool data) {
    const auto scratch = std::make_shared<Values>(
        cpu_,
        static_cast<std::size_t>(inner_product_scratch(cpu_, s->x_shape, s->y_shape[1], s->x_layout) + 32));
    row(name + "/forward", flops, [this, s] {
      inner_product_forward<float>(cpu_, s->in(), s->w.data(), false, s->bias.data(), s->out());
    });
    if (data)
      row(name + "/backward_data", flops, [this, s] {
        inner_product_backward_data<float>(cpu_, s->out_diff(), s->w.data(), false, s->in_diff(), false);
      });
    row(name + "/backward_weights", flops, [this, s, scratch] {
      inner_product_backward_weights<float>(
          cpu_, s->in(), s->out_diff(), false, s->dw.data(), false, nullptr, false,
          std::as_writable_bytes(std::span(scratch->data(), scratch->size())));
    });
  }

  Cpu& cpu_;
  double ceiling_;
};

}  // namespace

int main(int argc, char** argv) try {
  benchmark::Initialize(&argc, argv);
  int threads = 1;
  if (argc != 3 || !parse_number(std::string_view(argv[2]), threads))
    throw SpecError("usage: layer_bench NET.prototxt THREADS [--benchmark_...]");
  Cpu cpu({.threads = threads});
  const Net<float, Cpu> net(cpu, read_net(argv[1]), all_layers<float, Cpu>());
  Rows rows(cpu);
  for (const NetPlan::Layer& layer : net.plan().layers)
    if (!layer.params.empty()) rows.add(net.plan(), layer);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "layer_bench: %s\n", e.what());
  return 1;
}
