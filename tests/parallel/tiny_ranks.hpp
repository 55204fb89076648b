// SPDX-License-Identifier: Apache-2.0
// The tiny job of tests/train, by several ranks in one process.
#pragma once

#include <mutex>

#include "../train/tiny.hpp"
#include "crema/comm/self.hpp"
#include "crema/comm/threads.hpp"
#include "crema/parallel/all.hpp"

namespace crema_test {

struct RankedJob {
  int ranks = 2, shards = 4;
  std::int64_t global_batch = 16;
  StrategyOptions strategy = StrategyOptions();
  SolverSpec solver = tiny_solver(40);
  std::string net = std::string();     // the net's text for a batch; empty: tiny_net
  std::string resume = std::string();  // a .solverstate that rank 0 reads
  std::uint64_t seed = 1;
  std::shared_ptr<const Dataset> data = tiny_data();
  double scale = Tiny::scale;
  std::function<std::int64_t(int)> missing = {};  // samples that the last rank lacks in its n-th batch
};

/// Another source's batches without the last samples of some.
template <class T>
class Cut final : public BatchSource<T> {
 public:
  Cut(BatchSource<T>& whole, std::function<std::int64_t(int)> missing)
      : whole_(whole), missing_(std::move(missing)) {}
  std::int64_t batch() const override { return whole_.batch(); }
  std::uint64_t fingerprint() const override { return whole_.fingerprint(); }
  void seek(std::int64_t sample) override { whole_.seek(sample); }
  std::span<const BatchTop<T>> next() override {
    const auto all = whole_.next();
    tops_.assign(all.begin(), all.end());
    const std::int64_t live = batch() - missing_(n_++);
    for (BatchTop<T>& top : tops_) {
      top.shape = top.shape.with(0, live);
      top.values = top.values.first(static_cast<std::size_t>(top.shape.size()));
    }
    return tops_;
  }

 private:
  BatchSource<T>& whole_;
  std::function<std::int64_t(int)> missing_;
  int n_ = 0;
  std::vector<BatchTop<T>> tops_;
};

/// What rank 0 saw: a loss for each step, and the weights at the end; with all ranks' weights beside.
template <class T>
struct Seen final : Observer {
  void on_step(const StepInfo& s) override { losses.push_back(s.loss); }
  std::vector<double> losses, tests;
  void on_test(const TestInfo& t) override {
    for (const OutputValue& v : t.outputs) tests.push_back(v.value);
  }
  std::vector<std::vector<T>> weights;
  std::int64_t ahead = 0;
};

inline std::string with_batch(std::string net, std::int64_t batch) {
  for (std::size_t at; (at = net.find("BATCH")) != std::string::npos;) net.replace(at, 5, cat(batch));
  return net;
}

/// Runs one rank; `after_step` is called after each step.
template <class T>
void run_rank(const RankedJob& job, Communicator* comm, Seen<T>& seen, std::mutex& mutex,
              const std::function<Action()>& after_step = {}) {
  const int ranks = comm ? comm->size() : 1, rank = comm ? comm->rank() : 0;
  const bool served = job.strategy.name == "downpour" || job.strategy.name == "bounded_delay";
  const std::int64_t batch = job.global_batch / std::max(1, ranks - (comm && served ? 1 : 0));
  const Shards shards =
      comm ? shards_of(*comm, job.strategy.name, job.shards) : Shards{job.shards, 0, job.shards};
  Cpu cpu({.threads = 1});
  const auto text = [&](std::int64_t b) { return job.net.empty() ? tiny_net(b) : with_batch(job.net, b); };
  Net<T, Cpu> net(cpu, parse_net(text(batch)), all_layers<T, Cpu>(),
                  {.phase = Phase::train, .seed = job.seed});
  Net<T, Cpu> test_net(cpu, parse_net(text(20)), all_layers<T, Cpu>(), {.phase = Phase::test},
                       net.parameters());
  DatasetSource<T> whole(job.data, {.scale = static_cast<float>(job.scale)},
                         {.batch = batch, .seed = job.seed, .shuffle = true, .shards = shards}, "data",
                         "label");
  Cut<T> source(whole, [&](int n) { return job.missing && rank == ranks - 1 ? job.missing(n) : 0; });
  DatasetSource<T> test_source(tiny_data(), {.scale = Tiny::scale},
                               {.batch = 20, .phase = Phase::test, .wrap = false}, "data", "label");
  auto strategy = comm ? make_strategy<T, Cpu>(*comm, job.strategy) : nullptr;
  const auto* server = dynamic_cast<const ParameterServer<T, Cpu>*>(strategy.get());
  Trainer<T, Cpu> trainer(cpu, job.solver, net, source,
                          {.seed = job.seed, .shards = job.shards, .after_step = after_step},
                          std::move(strategy));
  trainer.add_test(test_net, test_source, 5);
  if (rank == 0) trainer.add(seen);
  if (rank == 0 && !job.resume.empty()) trainer.resume(job.resume);
  trainer.run();
  const std::lock_guard lock(mutex);
  seen.weights.resize(static_cast<std::size_t>(ranks));
  const auto w = net.parameters()->values();
  seen.weights[static_cast<std::size_t>(rank)].assign(w.begin(), w.end());
  if (server && rank == 0) seen.ahead = server->furthest_ahead();
}

/// The job without a communicator: one rank, the global batch.
template <class T>
Seen<T> run_alone(RankedJob job) {
  Seen<T> seen;
  std::mutex mutex;
  run_rank<T>(job, nullptr, seen, mutex);
  return seen;
}
template <class T>
Seen<T> run_ranks(const RankedJob& job) {
  Seen<T> seen;
  std::mutex mutex;
  ThreadWorld world(job.ranks);
  world.run([&](Communicator& comm) { run_rank<T>(job, &comm, seen, mutex); });
  return seen;
}

/// The largest relative difference of two sequences.
template <class V>
double largest_difference(const V& a, const V& b) {
  if (a.size() != b.size()) return 1e300;
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    worst = std::max(worst, std::abs(double(a[i]) - double(b[i])) / std::max(1e-3, std::abs(double(b[i]))));
  return worst;
}

}  // namespace crema_test
