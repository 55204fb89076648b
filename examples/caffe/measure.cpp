// SPDX-License-Identifier: Apache-2.0
// crema test, crema time.
#include "program.hpp"

using namespace crema;

namespace {

NetWithData<float, Cpu> build(Cpu& cpu, const Flags& f, Phase phase, DatasetCache& cache) {
  const NetSpec spec = read_net(f.model);
  return build_net<float, Cpu>(cpu, spec, {phase, f.level, f.stages}, all_layers<float, Cpu>(),
                               {.data_roots = f.data_roots, .seed = f.seed}, cache);
}

std::string scored(const std::string& name, double value, double loss_weight) {
  std::string text = cat(name, " = ", six_digits(value));
  if (loss_weight != 0)
    text += cat(" (* ", six_digits(loss_weight), " = ", six_digits(loss_weight * value), " loss)");
  return text;
}

/// Numbers for a net without data: labels are all class 0.
void fill_inputs(Net<float, Cpu>& net) {
  for (const auto& input : net.inputs()) {
    std::vector<float> values(static_cast<std::size_t>(input.shape.size()));
    for (std::uint32_t i = 0; input.shape.rank() > 1 && i < values.size(); ++i)
      values[i] = static_cast<float>(uniform(philox({i, 0, 0, 0}, random_key(1, input.name))[0]));
    net.write(input.name, values);
  }
}

/// Seconds of each layer, forward and backward, summed over the iterations.
struct LayerTimes {
  std::vector<double> forward, backward;
  double fetch = 0;
};

void run_once(Net<float, Cpu>& net, BatchSource<float>* source, const Step& step, LayerTimes& t) {
  double last = monotonic_seconds();
  const auto lap = [&](double& into) {
    const double now = monotonic_seconds();
    into += now - last, last = now;
  };
  if (source) {
    auto batch = source->next();
    if (samples(batch) == 0) source->seek(0), batch = source->next();  // a test source ends: begin again
    feed(net, batch);
  }
  lap(t.fetch);
  const int n = static_cast<int>(t.forward.size());
  std::span<const Loss> losses;
  for (int i = 0; i < n; ++i)
    losses = net.forward(step, i, i + 1), lap(t.forward[static_cast<std::size_t>(i)]);
  const std::vector<double> scale = loss_scales(net.outputs(), losses);
  StoreGradients<float, Cpu> sink;
  for (int i = n; i-- > 0;)
    net.backward(step, scale, sink, i, i + 1), lap(t.backward[static_cast<std::size_t>(i)]);
}

double total(const std::vector<double>& v) {
  double sum = 0;
  for (const double x : v) sum += x;
  return sum;
}

}  // namespace

int test(const Flags& f) {
  Cpu cpu = make_cpu(f);
  DatasetCache cache;
  NetWithData<float, Cpu> with_data = build(cpu, f, Phase::test, cache);
  Net<float, Cpu>& net = *with_data.net;
  if (!with_data.source)
    throw SpecError(cat(f.model, " has no Data layer in phase TEST: there is nothing to test with"));
  Log log(to_stderr);
  for (const std::string& path : f.weights)
    log.line("caffe.cpp:155", cat(path, ": ", load_weights(cpu, net, path).text()));
  std::vector<Loss> sum(net.outputs().size());
  const Step step{Phase::test, f.seed.value_or(0), 0, 0, 0, nullptr};
  int batches = 0;
  for (; f.iterations == 0 || batches < f.iterations; ++batches) {
    const auto batch = with_data.source->next();
    if (samples(batch) == 0) break;
    feed(net, batch);
    const std::span<const Loss> losses = net.forward(step);
    for (std::size_t k = 0; k < losses.size(); ++k) {
      sum[k] += losses[k];
      log.line("caffe.cpp:308",
               cat("Batch ", batches, ", ", net.outputs()[k].name, " = ", six_digits(losses[k].value())));
    }
  }
  if (batches < f.iterations)
    log.line("measure.cpp:88",
             cat("the data ended after ", batches, " batches: every sample was counted once"), 'W');
  log.line("caffe.cpp:313", cat("Loss: ", six_digits(objective(net.outputs(), std::span<const Loss>(sum)))));
  for (std::size_t k = 0; k < sum.size(); ++k) {
    const auto& o = net.outputs()[k];
    log.line("caffe.cpp:325", scored(o.name, sum[k].value(), o.kind == TopPlan::loss ? o.loss_weight : 0));
  }
  return 0;
}

int time(const Flags& f) {
  Cpu cpu = make_cpu(f);
  DatasetCache cache;
  const Phase phase = f.phase == "TEST" ? Phase::test : Phase::train;
  NetWithData<float, Cpu> with_data = build(cpu, f, phase, cache);
  Net<float, Cpu>& net = *with_data.net;
  if (!with_data.source) fill_inputs(net);
  Log log(to_stderr);
  const std::size_t n = net.plan().layers.size();
  LayerTimes warm{std::vector<double>(n), std::vector<double>(n)}, t = warm;
  const Step step{phase, 0, 0, 0, 0, nullptr};
  run_once(net, with_data.source.get(), step, warm);
  log.line("caffe.cpp:363", "*** Benchmark begins ***");
  log.line("caffe.cpp:364", cat("Testing for ", f.iterations, " iterations."));
  for (int i = 0; i < f.iterations; ++i) {
    const double start = monotonic_seconds();
    run_once(net, with_data.source.get(), step, t);
    log.line("caffe.cpp:392", cat("Iteration: ", i + 1, " forward-backward time: ",
                                  six_digits((monotonic_seconds() - start) * 1e3), " ms."));
  }
  const auto ms = [&](double seconds) { return cat(six_digits(seconds * 1e3 / f.iterations), " ms."); };
  log.line("caffe.cpp:395", "Average time per layer: ");
  for (std::size_t i = 0; i < n; ++i) {
    std::string name = net.plan().layers[i].spec.name;
    name.insert(0, name.size() < 10 ? 10 - name.size() : 0, ' ');
    log.line("caffe.cpp:398", cat(name, "\tforward: ", ms(t.forward[i])));
    log.line("caffe.cpp:401", cat(name, "\tbackward: ", ms(t.backward[i])));
  }
  const double forward = total(t.forward), backward = total(t.backward);
  log.line("measure.cpp:124", cat("Average Batch Preparation: ", ms(t.fetch)));
  log.line("caffe.cpp:406", cat("Average Forward pass: ", ms(forward)));
  log.line("caffe.cpp:408", cat("Average Backward pass: ", ms(backward)));
  log.line("caffe.cpp:410", cat("Average Forward-Backward: ", ms(forward + backward + t.fetch)));
  log.line("caffe.cpp:412", cat("Total Time: ", six_digits((forward + backward + t.fetch) * 1e3), " ms."));
  log.line("caffe.cpp:413", "*** Benchmark ends ***");
  return 0;
}
