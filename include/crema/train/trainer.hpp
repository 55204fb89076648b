// SPDX-License-Identifier: Apache-2.0
// Trainer: the loop of a training job: test, step, tell, snapshot, in Caffe's order.
//
//   Trainer<float, Cpu> trainer(cpu, solver_spec, net, source, {.seed = 1});
//   trainer.add_test(test_net, test_source, 100);
//   trainer.add(log);                        // observers
//   trainer.run();                           // to max_iter
//
// Nets, sources and observers belong to the caller and outlive the trainer. A job that is stopped after a
// snapshot and resumed from it ends with the same bits as one that was not, on the same instruction set.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "crema/solvers/all.hpp"
#include "crema/train/snapshot.hpp"
#include "crema/train/strategy.hpp"

namespace crema::inline CREMA_ABI {

struct TrainerOptions {
  std::uint64_t seed = 0;
  std::string snapshot_prefix = {};         // solver_spec.snapshot_prefix if empty
  std::string isa = {};                     // noted in snapshots
  int shards = 1;                           // virtual shards of the training data, all ranks'
  std::function<Action()> after_step = {};  // stop: a snapshot is taken if snapshot_after_train says so
  const Cancel* cancel = nullptr;           // stops in the middle of a step: run() throws Cancelled
};

template <class T, class B>
class Trainer {
 public:
  /// Throws SpecError for a solver that cannot be right.
  Trainer(B& b, const SolverSpec& spec, Net<T, B>& net, BatchSource<T>& source, TrainerOptions options = {},
          std::unique_ptr<Strategy<T, B>> strategy = {});
  ~Trainer();

  /// A net that shares the training net's parameters, tested every test_interval iterations over `batches`
  /// batches, or fewer if its source ends before.
  void add_test(Net<T, B>& net, BatchSource<T>& source, std::int64_t batches);
  void add(Observer& o) { observers_.push_back(&o); }

  std::int64_t iteration() const { return replica_.iteration; }
  Solver<T, B>& solver() { return *solver_; }
  /// Samples of all ranks that train.
  std::int64_t samples_per_iteration() const { return own_samples() * strategy_->replicas(); }

  /// Runs up to max_iter, or until after_step says stop. Throws DataError when a loss is no finite number, or
  /// when a snapshot cannot be written; Cancelled.
  Ending run();

  /// One iteration, without tests and snapshots.
  void step() {
    run_step();
    replica_.net.parameters()->values();  // here, when it returns
  }

  /// Tests every test net from the beginning of its source.
  void test_all();

  /// Writes a snapshot now. Throws SpecError without a snapshot_prefix, and as save_snapshot.
  SnapshotPaths snapshot();

  /// Goes on from a .solverstate. Throws as load_snapshot, and SpecError when the seed or the samples of an
  /// iteration are others than they were. Returns what the snapshot says; compare its isa with yours.
  SnapshotInfo resume(const std::string& state);

 private:
  struct Test {
    Net<T, B>* net;
    BatchSource<T>* source;
    std::int64_t batches;
  };

  std::int64_t own_samples() const { return replica_.source.batch() * spec_.iter_size; }
  Ending run_all();
  void run_step();
  static const SolverSpec& checked(const SolverSpec& s);
  bool snapshots() const {  // a solver without a prefix was written in C++, by a host that keeps its weights
    return !options_.snapshot_prefix.empty() && (spec_.snapshot > 0 || spec_.snapshot_after_train);
  }
  bool due(int interval) const { return interval > 0 && iteration() > 0 && iteration() % interval == 0; }
  template <class F>
  void tell(const F& f) {
    for (Observer* o : observers_) f(*o);
  }

  static std::vector<OutputValue> output_values(const Net<T, B>& net, std::span<const Loss> losses);

  double smoothed(double loss);

  std::vector<Loss> test_losses(const Test& t);

  /// Caffe's last words: one more forward pass and a test, where display and test_interval are due.
  Ending end(Ending ending);

  SolverSpec spec_;
  TrainerOptions options_;
  std::unique_ptr<Solver<T, B>> solver_;
  std::unique_ptr<Strategy<T, B>> strategy_;
  Replica<T, B> replica_;
  std::vector<Test> tests_;
  std::vector<Observer*> observers_;
  std::deque<double> recent_;  // losses of the last average_loss iterations
};

template <class T, class B>
Trainer<T, B>::Trainer(B& b, const SolverSpec& spec, Net<T, B>& net, BatchSource<T>& source,
                       TrainerOptions options, std::unique_ptr<Strategy<T, B>> strategy)
    : spec_(checked(spec)),
      options_(std::move(options)),
      solver_(make_solver<T, B>(b, spec, *net.parameters())),
      strategy_(strategy ? std::move(strategy) : std::make_unique<SingleRank<T, B>>()),
      replica_{b,
               net,
               *solver_,
               source,
               spec.iter_size,
               options_.seed,
               options_.cancel,
               strategy_->rank() * source.batch()} {
  if (options_.snapshot_prefix.empty()) options_.snapshot_prefix = spec.snapshot_prefix;
  if (spec.snapshot > 0 && options_.snapshot_prefix.empty())
    throw SpecError(cat("snapshot: ", spec.snapshot, " without a snapshot_prefix: say where they go"));
}
template <class T, class B>
Trainer<T, B>::~Trainer() = default;

template <class T, class B>
void Trainer<T, B>::add_test(Net<T, B>& net, BatchSource<T>& source, std::int64_t batches) {
  if (batches <= 0) throw SpecError(cat("test_iter must be above 0, not ", batches));
  if (net.parameters() != replica_.net.parameters())
    throw SpecError("a test net must share the parameters of the training net");
  tests_.push_back({&net, &source, batches});
}

template <class T, class B>
Ending Trainer<T, B>::run() {
  try {
    return run_all();
  } catch (const std::exception& e) {
    strategy_->fail(e.what());
    throw;
  }
}

template <class T, class B>
Ending Trainer<T, B>::run_all() {
  if (snapshots() && strategy_->rank() == 0) prepare_snapshots(options_.snapshot_prefix);
  strategy_->begin(replica_);
  replica_.source.seek(iteration() * own_samples());
  tell([&](Observer& o) {
    o.on_start({spec_, replica_.net.spec(), replica_.net.plan(), iteration(), spec_.max_iter,
                samples_per_iteration(), B::name});
  });
  bool stop = false;
  while (!stop && iteration() < spec_.max_iter) {
    if (spec_.test_interval > 0 && iteration() % spec_.test_interval == 0 &&
        (iteration() > 0 || spec_.test_initialization))
      test_all();
    run_step();
    const Action action = strategy_->agree(options_.after_step ? options_.after_step() : Action::none);
    stop = action == Action::stop;
    if (action == Action::snapshot || due(spec_.snapshot)) snapshot();
  }
  strategy_->end(replica_);
  if (snapshots() && spec_.snapshot_after_train && !due(spec_.snapshot)) snapshot();
  return end(stop && iteration() < spec_.max_iter ? Ending::stopped : Ending::done);
}

template <class T, class B>
void Trainer<T, B>::run_step() {
  strategy_->run_step(replica_);
  const double now = objective(replica_.net.outputs(), std::span<const Loss>(replica_.losses));
  const std::vector<OutputValue> values = output_values(replica_.net, replica_.losses);
  const StepInfo info{iteration(), smoothed(now), learning_rate(spec_, iteration()), values};
  replica_.iteration = strategy_->next(iteration());
  tell([&](Observer& o) { o.on_step(info); });
}

template <class T, class B>
void Trainer<T, B>::test_all() {
  if (tests_.empty() || (strategy_->rank() != 0 && !strategy_->tests_together())) return;
  strategy_->enter_consensus(replica_, false);
  for (std::size_t k = 0; k < tests_.size(); ++k) {
    const int index = static_cast<int>(k);
    tell([&](Observer& o) { o.on_test_start(iteration(), index); });
    const std::vector<OutputValue> values = output_values(*tests_[k].net, test_losses(tests_[k]));
    tell([&](Observer& o) { o.on_test({iteration(), index, values}); });
  }
  strategy_->leave_consensus(replica_);
}

template <class T, class B>
SnapshotPaths Trainer<T, B>::snapshot() {
  if (options_.snapshot_prefix.empty())
    throw SpecError("a snapshot is asked for without a snapshot_prefix: say where it goes");
  const SnapshotInfo info{.iteration = iteration(),
                          .seed = options_.seed,
                          .cursor = iteration() * samples_per_iteration(),
                          .global_batch = samples_per_iteration(),
                          .isa = options_.isa,
                          .shards = options_.shards,
                          .ranks = strategy_->ranks(),
                          .strategy = std::string(strategy_->name())};
  strategy_->enter_consensus(replica_, true);
  SnapshotPaths paths;
  if (strategy_->rank() == 0)
    paths = save_snapshot(replica_.backend, options_.snapshot_prefix, replica_.net, *solver_, info);
  strategy_->leave_consensus(replica_);
  if (strategy_->rank() == 0) tell([&](Observer& o) { o.on_snapshot(iteration(), paths); });
  return paths;
}

template <class T, class B>
SnapshotInfo Trainer<T, B>::resume(const std::string& state) {
  const SnapshotFile file = read_snapshot(state);
  if (file.info.global_batch != 0 && file.info.global_batch != samples_per_iteration())
    throw SpecError(cat(state, " was made with ", file.info.global_batch,
                        " samples per iteration (batch_size x iter_size), not ", samples_per_iteration(),
                        ": keep them, or start from its weights instead"));
  if (file.info.global_batch != 0 && file.info.seed != options_.seed)
    throw SpecError(cat(state, " was made with seed ", file.info.seed, ", not ", options_.seed,
                        ": give that seed, or start from its weights instead"));
  if (file.info.global_batch != 0 && file.info.shards != options_.shards)
    throw SpecError(cat(state, " was made with ", file.info.shards, " shards of the data, not ",
                        options_.shards, ": give that number, so that each step sees the same samples"));
  const SnapshotInfo info = load_snapshot(replica_.backend, state, replica_.net, *solver_);
  replica_.iteration = info.iteration;
  recent_.clear();
  return info;
}

template <class T, class B>
const SolverSpec& Trainer<T, B>::checked(const SolverSpec& s) {
  if (s.max_iter < 0) throw SpecError(cat("max_iter must not be negative: ", s.max_iter));
  if (s.iter_size < 1) throw SpecError(cat("iter_size must be 1 or more, not ", s.iter_size));
  if (s.average_loss < 1) throw SpecError(cat("average_loss must be 1 or more, not ", s.average_loss));
  if (s.snapshot_format == SnapshotFormat::hdf5)
    throw SpecError("snapshot_format: HDF5 is not written; use BINARYPROTO");
  return s;
}

template <class T, class B>
std::vector<OutputValue> Trainer<T, B>::output_values(const Net<T, B>& net, std::span<const Loss> losses) {
  std::vector<OutputValue> values;
  for (std::size_t k = 0; k < losses.size(); ++k) {
    const auto& o = net.outputs()[k];
    values.push_back({o.name, losses[k].value(), o.kind == TopPlan::loss ? o.loss_weight : 0});
  }
  return values;
}

template <class T, class B>
double Trainer<T, B>::smoothed(double loss) {
  recent_.push_back(loss);
  if (static_cast<int>(recent_.size()) > spec_.average_loss) recent_.pop_front();
  double sum = 0;
  for (const double x : recent_) sum += x;
  return sum / static_cast<double>(recent_.size());
}

template <class T, class B>
std::vector<Loss> Trainer<T, B>::test_losses(const Test& t) {
  std::vector<Loss> total(t.net->outputs().size());
  // Ranks take turns with the batches.
  const bool together = strategy_->tests_together();
  const std::int64_t first = together ? strategy_->rank() : 0, ranks = together ? strategy_->ranks() : 1;
  t.source->seek(first * t.source->batch());
  const Step step{Phase::test, options_.seed, static_cast<std::uint64_t>(iteration()), 0, 0, options_.cancel};
  for (std::int64_t i = first; i < t.batches; i += ranks) {
    if (ranks > 1 && i > first) t.source->seek(i * t.source->batch());
    const std::span<const BatchTop<T>> batch = t.source->next();
    if (samples(batch) == 0) break;
    feed(*t.net, batch);
    const std::span<const Loss> losses = t.net->forward(step);
    for (std::size_t k = 0; k < losses.size(); ++k) total[k] += losses[k];
  }
  if (together) strategy_->add_up(total);
  return total;
}

template <class T, class B>
Ending Trainer<T, B>::end(Ending ending) {
  double loss = 0;
  const bool show = ending == Ending::done && due(spec_.display);
  if (show) {
    const Step step{Phase::train,          options_.seed,  static_cast<std::uint64_t>(iteration()), 0,
                    replica_.first_sample, options_.cancel};
    feed(replica_.net, replica_.source.next());
    const std::span<const Loss> own = replica_.net.forward(step);
    std::vector<Loss> losses(own.begin(), own.end());
    if (strategy_->tests_together()) strategy_->add_up(losses);
    loss = smoothed(objective(replica_.net.outputs(), std::span<const Loss>(losses)));
  }
  if (ending == Ending::done && due(spec_.test_interval)) test_all();
  tell([&](Observer& o) { o.on_end(iteration(), ending, show ? &loss : nullptr); });
  return ending;
}

#if defined(CREMA_COMPILED)  // crema::compiled has them
extern template class Trainer<float, Cpu>;
#endif

}  // namespace crema::inline CREMA_ABI
