// SPDX-License-Identifier: Apache-2.0
// Bench: a net with its solver and one batch that comes again and again. Profile: what a step of it is made of.
#pragma once

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "crema/caffe/import.hpp"
#include "crema/core/random.hpp"
#include "crema/cpu/cpu.hpp"
#include "crema/layers/all.hpp"
#include "crema/parallel/synchronous.hpp"
#include "crema/solvers/all.hpp"

namespace crema_bench {

inline double median(std::vector<double> v) {
  if (v.empty()) return 0;
  std::sort(v.begin(), v.end());
  return v.size() % 2 == 1 ? v[v.size() / 2] : (v[v.size() / 2 - 1] + v[v.size() / 2]) / 2;
}
inline std::string json(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", x);
  return text;
}
inline std::string json(const std::vector<double>& v) {
  std::string text = "[";
  for (const double x : v) text += (text.size() > 1 ? ", " : "") + json(x);
  return text + "]";
}

/// Uniform numbers and ten labels, the same in every batch.
class OneBatch final : public crema::BatchSource<float> {
 public:
  explicit OneBatch(const crema::Net<float, crema::Cpu>& net, std::int64_t batch)
      : batch_(batch > 0 ? batch : net.inputs()[0].shape[0]) {
    for (const auto& input : net.inputs()) {
      const crema::Shape shape = input.shape.with(0, batch_);
      values_.emplace_back(static_cast<std::size_t>(shape.size()));
      for (std::uint32_t i = 0; i < values_.back().size(); ++i)
        values_.back()[i] = shape.rank() == 1 ? static_cast<float>(i % 10) : number(i);
      tops_.push_back({input.name, shape, values_.back()});
    }
  }
  std::int64_t batch() const override { return batch_; }
  std::span<const crema::BatchTop<float>> next() override { return tops_; }
  void seek(std::int64_t) override {}

 private:
  static float number(std::uint32_t i) {
    return static_cast<float>(crema::uniform(crema::philox({i, 0, 0, 0}, crema::random_key(1, "data"))[0]));
  }

  std::int64_t batch_;
  std::vector<std::vector<float>> values_;
  std::vector<crema::BatchTop<float>> tops_;
};

struct Bench {
  Bench(const std::string& file, std::int64_t batch, int threads)
      : cpu({.threads = threads}),
        net(cpu, crema::read_net(file), crema::all_layers<float, crema::Cpu>(), {.seed = 1}),
        solver(crema::make_solver<float, crema::Cpu>(cpu, spec(), *net.parameters())),
        source(net, batch) {}

  static crema::SolverSpec spec() {
    crema::SolverSpec s;
    s.base_lr = 1e-4f, s.lr_policy = "fixed", s.momentum = 0.9f, s.weight_decay = 5e-4f, s.max_iter = 1 << 30;
    return s;
  }

  crema::Cpu cpu;
  crema::Net<float, crema::Cpu> net;
  std::unique_ptr<crema::Solver<float, crema::Cpu>> solver;
  OneBatch source;
};

/// Times of the parts of a step, all ranks at the same time: medians, the slowest rank's.
class Profile {
 public:
  Profile(Bench& bench, crema::Communicator& comm, std::size_t bucket)
      : bench_(bench), comm_(comm), layers_(bench.net.plan().layers.size()), sink_{*this} {
    feed_.reserve(1024);
    gradient_at_.resize(bench.net.plan().segments.size());
    std::size_t end = bench.net.parameters()->values().size();  // as parallel/synchronous.hpp
    const auto& segments = bench.net.parameters()->segments();
    for (std::size_t i = segments.size(); i-- > 0;)
      if (i == 0 || (end - segments[i].offset) * sizeof(float) >= bucket)
        buckets_.push_back({segments[i].offset, end - segments[i].offset}), end = segments[i].offset;
    buffer_.resize(bench.net.parameters()->values().size());
  }

  void measure(int steps) {
    for (int i = 0; i <= steps; ++i) {
      kept_ = i > 0;
      comm_.barrier();
      step(static_cast<std::uint64_t>(i));
    }
    exchange(steps);
  }

  std::string json() {
    using crema_bench::json;
    std::string text =
        crema::cat("\"feed\": ", json(most(feed_)), ", \"update\": ", json(most(update_)),
                   ", \"outputs\": ", bench_.net.outputs().size(), ", \"parameters\": ", buffer_.size(),
                   ",\n \"barrier\": ", json(most(barrier_)), ", \"reduce_scatter\": ", json(most(reduce_)),
                   ", \"all_gather\": ", json(most(gather_)), ",\n \"layers\": [");
    const auto& plan = bench_.net.plan();
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      text += crema::cat(i == 0 ? "" : ",\n  ", "{\"name\": \"", plan.layers[i].spec.name,
                         "\", \"forward\": ", json(most(layers_[i].forward)),
                         ", \"backward\": ", json(most(layers_[i].backward)), ", \"segments\": [");
      bool first = true;
      for (std::size_t s = 0; s < plan.segments.size(); ++s) {
        if (plan.segments[s].layer != plan.layers[i].spec.name) continue;
        text += crema::cat(first ? "" : ", ", "[", plan.segments[s].offset, ", ", plan.segments[s].count,
                           ", ", json(most(gradient_at_[s])), "]");
        first = false;
      }
      text += "]}";
    }
    return text + "]";
  }

 private:
  struct Times {
    std::vector<double> forward, backward;
  };
  struct Range {
    std::size_t first, count;
  };
  /// Notes when gradients are finished, after the beginning of their layer's backward.
  struct Sink final : crema::GradSink<float, crema::Cpu> {
    explicit Sink(Profile& p) : owner(p) {}
    void take(crema::Cpu&, std::size_t first, std::span<const float>) override { owner.take(first); }
    Profile& owner;
  };

  void keep(std::vector<double>& into, double seconds) const {
    if (kept_) into.push_back(seconds);
  }
  void lap(std::vector<double>& into) {
    const double now = crema::monotonic_seconds();
    keep(into, now - last_);
    last_ = crema::monotonic_seconds();
  }
  void take(std::size_t first) {
    const auto& segments = bench_.net.plan().segments;
    for (std::size_t s = 0; s < segments.size(); ++s)
      if (first >= segments[s].offset && first < segments[s].offset + segments[s].count)
        keep(gradient_at_[s], crema::monotonic_seconds() - last_);
  }

  void step(std::uint64_t iteration) {
    auto& net = bench_.net;
    const crema::Step step{crema::Phase::train, 0, iteration, 0, 0, nullptr};
    last_ = crema::monotonic_seconds();
    crema::feed(net, bench_.source.next());
    lap(feed_);
    std::span<const crema::Loss> losses;
    const int n = static_cast<int>(layers_.size());
    for (int i = 0; i < n; ++i)
      losses = net.forward(step, i, i + 1), lap(layers_[static_cast<std::size_t>(i)].forward);
    const std::vector<double> scale = crema::loss_scales(net.outputs(), losses);
    for (int i = n; i-- > 0;)
      net.backward(step, scale, sink_, i, i + 1), lap(layers_[static_cast<std::size_t>(i)].backward);
    const std::span<float> w = net.parameters()->edit();
    const crema::SolverStep update = bench_.solver->step(static_cast<std::int64_t>(iteration));
    for (const Range& b : buckets_) {
      const crema::Part own = crema::part_of(b.count, comm_.size(), comm_.rank());
      const std::size_t first = b.first + own.first;
      bench_.solver->update_part(bench_.cpu, net.parameters()->segments(), w,
                                 net.gradients().subspan(first, own.count), first, update);
    }
    lap(update_);
  }
  /// The collectives of a step with nothing to hide behind, and nothing to delay them.
  void exchange(int steps) {
    std::vector<crema::Ticket> tickets(buckets_.size());
    for (int i = 0; i <= steps; ++i) {
      kept_ = i > 0;
      for (int k = 0; k < 4; ++k) comm_.barrier();
      last_ = crema::monotonic_seconds();
      comm_.barrier();
      lap(barrier_);
      for (std::size_t k = 0; k < buckets_.size(); ++k)
        tickets[k] = comm_.start_reduce_scatter(part(buckets_[k]));
      for (const crema::Ticket t : tickets) comm_.wait(t);
      lap(reduce_);
      for (std::size_t k = 0; k < buckets_.size(); ++k)
        tickets[k] = comm_.start_all_gather(part(buckets_[k]));
      for (const crema::Ticket t : tickets) comm_.wait(t);
      lap(gather_);
    }
  }
  std::span<float> part(const Range& b) { return std::span<float>(buffer_).subspan(b.first, b.count); }

  /// The slowest rank's median: all ranks call it alike.
  double most(const std::vector<double>& v) {
    double m[] = {median(v)};
    comm_.all_reduce(std::span<double>(m), crema::Reduction::max);
    return m[0];
  }

  Bench& bench_;
  crema::Communicator& comm_;
  std::vector<Times> layers_;
  Sink sink_;
  std::vector<std::vector<double>> gradient_at_;  // by segment
  std::vector<double> feed_, update_, barrier_, reduce_, gather_;
  std::vector<Range> buckets_;
  std::vector<float> buffer_;
  double last_ = 0;
  bool kept_ = true;
};

}  // namespace crema_bench
