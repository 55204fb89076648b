// SPDX-License-Identifier: Apache-2.0
// Training steps on request, so that run.py can take turns with a peer:
//
//   train_bench lenet.prototxt THREADS [--dump FOLDER] [--no-dropout]
//
// prints one line of facts ("flops isa parameters"), then answers lines of standard input: "losses N" with N
// losses from the initial weights on, "steps N" with the milliseconds of the fastest of N steps, "ceiling N"
// with the GFLOP/s of multiply-adds that these threads reach, best of N. A step is the input's conversion,
// forward, backward and update. --dump writes weights and data, which the peer reads.
#include <cstdio>
#include <cstring>

#include "../ceiling.hpp"
#include "crema/caffe/import.hpp"
#include "crema/cpu/cpu.hpp"
#include "crema/layers/all.hpp"
#include "crema/solvers/all.hpp"
#include "crema/train/atomic_file.hpp"

using namespace crema;

namespace {

struct Flags {
  std::string net, folder;
  int threads = 1;
  bool dropout = true;
};

NetSpec read(const Flags& f) {
  NetSpec net = read_net(f.net);
  if (!f.dropout) std::erase_if(net.layers, [](const LayerSpec& l) { return l.type == "Dropout"; });
  return net;
}

/// Floating-point operations of a training step: 2 per multiply-add in each of forward, weight gradient and
/// data gradient; the first layer has no data gradient.
double flops(const NetPlan& plan) {
  double total = 0;
  int layers = 0;
  for (const NetPlan::Layer& l : plan.layers) {
    if (l.params.empty()) continue;
    const Shape& top = plan.blobs[static_cast<std::size_t>(l.top[0])].shape;
    const Shape& weight = plan.segments[static_cast<std::size_t>(l.params[0])].shape;
    const double pixels = static_cast<double>(top.rank() == 4 ? top[2] * top[3] : 1);
    total += (layers++ == 0 ? 2 : 3) * 2.0 * static_cast<double>(top[0]) * pixels *
             static_cast<double>(weight.size());
  }
  return total;
}

std::string bytes_of(std::span<const float> v) {
  return {reinterpret_cast<const char*>(v.data()), v.size_bytes()};
}

class Bench {
 public:
  explicit Bench(const Flags& f)
      : cpu_({.threads = f.threads}),
        net_(cpu_, read(f), all_layers<float, Cpu>(), {.seed = 1}),
        solver_(make_solver<float, Cpu>(
            cpu_, {.base_lr = 0.01f, .lr_policy = "fixed", .momentum = 0.9f, .weight_decay = 5e-4f},
            *net_.parameters())),
        update_(*solver_, *net_.parameters()) {
    const auto w = net_.parameters()->values();
    initial_.assign(w.begin(), w.end());
    data_.resize(static_cast<std::size_t>(net_.inputs()[0].shape.size()));
    label_.resize(static_cast<std::size_t>(net_.inputs()[1].shape.size()));
    for (std::uint32_t i = 0; i < data_.size(); ++i)
      data_[i] = static_cast<float>(uniform(philox({i, 0, 0, 0}, random_key(1, "data"))[0]));
    for (std::size_t i = 0; i < label_.size(); ++i) label_[i] = static_cast<float>(i % 10);
    if (!f.folder.empty()) dump(f.folder);
  }

  void facts() const {
    std::printf("%.0f %s %zu\n", flops(net_.plan()), std::string(name_of(cpu_.isa())).c_str(),
                initial_.size());
  }
  void ceiling(int n) { std::printf("%.2f\n", crema_bench::fma_ceiling(cpu_, n)); }
  double step(std::uint64_t i) {
    net_.write("data", data_), net_.write("label", label_);
    const Step step{.iteration = i};
    update_.begin(static_cast<std::int64_t>(i));
    const auto losses = net_.forward(step);
    const double loss = objective(net_.outputs(), losses);
    loss_scales(net_.outputs(), losses, scale_);
    net_.backward(step, scale_, update_);
    update_.end();
    return loss;
  }
  void losses(int n) {
    std::copy(initial_.begin(), initial_.end(), net_.parameters()->edit().begin());
    std::fill(solver_->history(0).begin(), solver_->history(0).end(), 0.f);
    for (int i = 0; i < n; ++i)
      std::printf("%.9g%c", step(static_cast<std::uint64_t>(i)), i + 1 < n ? ' ' : '\n');
  }
  void steps(int n) {
    double best = 1e9;
    for (int i = 0; i < n; ++i) {
      const double start = monotonic_seconds();
      step(static_cast<std::uint64_t>(i));
      best = std::min(best, monotonic_seconds() - start);
    }
    std::printf("%.6f\n", best * 1e3);
  }

 private:
  /// weights.txt: name and extents of each parameter; weights.bin, data.bin, label.bin: their floats.
  void dump(const std::string& folder) const {
    std::string list, weights;
    for (const Segment& s : net_.parameters()->segments()) {
      list += cat(s.layer, ".", s.param, " ", s.lr_mult);
      for (const std::int64_t e : s.shape.extents()) list += cat(" ", e);
      list += "\n";
      weights += bytes_of({initial_.data() + s.offset, s.count});
    }
    write_file(folder + "/weights.txt", list), write_file(folder + "/weights.bin", weights);
    write_file(folder + "/data.bin", bytes_of(data_)), write_file(folder + "/label.bin", bytes_of(label_));
  }

  Cpu cpu_;
  Net<float, Cpu> net_;
  std::unique_ptr<Solver<float, Cpu>> solver_;
  UpdateGradients<float, Cpu> update_;
  std::vector<float> initial_, data_, label_;
  std::vector<double> scale_ = std::vector<double>(1);
};

}  // namespace

int main(int argc, char** argv) try {
  Flags f;
  for (int i = 1; i < argc; ++i) {
    const std::string_view a = argv[i];
    if (a == "--no-dropout")
      f.dropout = false;
    else if (a == "--dump" && i + 1 < argc)
      f.folder = argv[++i];
    else if (f.net.empty())
      f.net = a;
    else if (!parse_number(a, f.threads))
      throw SpecError(cat("'", a, "' is no number of threads"));
  }
  Bench bench(f);
  bench.facts();
  char line[64];
  while (std::fflush(stdout), std::fgets(line, sizeof line, stdin)) {
    int n = 0;
    if (std::sscanf(line, "losses %d", &n) == 1) bench.losses(n);
    if (std::sscanf(line, "ceiling %d", &n) == 1) bench.ceiling(n);
    if (std::sscanf(line, "steps %d", &n) == 1) bench.steps(n);
  }
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "train_bench: %s\n", e.what());
  return 1;
}
