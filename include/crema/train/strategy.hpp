// SPDX-License-Identifier: Apache-2.0
// Strategy: who owns a training step, and what ranks have to agree on. SingleRank: one rank, nobody to agree with.
//
//   Replica<float, Cpu> replica{.backend = cpu, .net = net, .solver = solver, .source = source};
//   SingleRank<float, Cpu> strategy;
//   strategy.run_step(replica);             // replica.losses: the step's Losses, parallel to net.outputs()
//
// A step is fetch, forward, combine, backward into a sink, commit, iter_size times over distinct batches.
// Losses are sums with weights. With w_j the weight of part j, part j's backward gets loss_weight / w_0, and
// the solver's scale is w_0 / (w_0 + w_1 + ...): the objective of all samples together, in one pass, exact
// for one loss, and for several where their weights keep their proportion from part to part.
#pragma once

#include <cmath>

#include "crema/solvers/update_gradients.hpp"
#include "crema/train/source.hpp"

namespace crema::inline CREMA_ABI {

/// One rank's share of a job: what a strategy works on.
template <class T, class B>
struct Replica {
  B& backend;
  Net<T, B>& net;
  Solver<T, B>& solver;
  BatchSource<T>& source;
  int iter_size = 1;
  std::uint64_t seed = 0;
  const Cancel* cancel = nullptr;
  std::int64_t first_sample = 0;  // position of this rank's sample 0 in the global batch
  std::int64_t iteration = 0;     // of the step to run
  std::vector<Loss> losses = {};  // of the step that has run, over all its samples
};

/// What a host wants at the end of an iteration.
enum class Action : std::uint8_t { none, snapshot, stop };

/// One rank agrees with itself: what is not run_step needs to be known to strategies of several ranks alone.
template <class T, class B>
class Strategy {
 public:
  virtual ~Strategy() = default;
  virtual std::string_view name() const { return "single"; }
  virtual int rank() const { return 0; }
  virtual int ranks() const { return 1; }
  /// The ranks that train: a step of the job takes a batch of each.
  virtual int replicas() const { return ranks(); }
  /// Whether all ranks test together, each a part of the batches; otherwise rank 0 does it alone.
  virtual bool tests_together() const { return true; }

  /// Before the first step: all ranks start where rank 0 stands (iteration, weights, history). Throws SpecError
  /// when the ranks do not train the same net in the same way.
  virtual void begin(Replica<T, B>&) {}
  /// Runs step replica.iteration and changes the weights, some of which may arrive later. Throws DataError, before
  /// anything is changed, when a loss is no finite number.
  virtual void run_step(Replica<T, B>& replica) = 0;
  /// The iteration after this one; max_iter or more: this rank has no more to do.
  virtual std::int64_t next(std::int64_t iteration) const { return iteration + 1; }
  /// Between these two the parameters are those that the ranks agree on, for a test or a snapshot; with
  /// `history`, rank 0's solver holds the history that goes with them.
  virtual void enter_consensus(Replica<T, B>&, bool /*history*/) {}
  virtual void leave_consensus(Replica<T, B>&) {}
  /// Losses added over the ranks.
  virtual void add_up(std::span<Loss>) {}
  /// What rank 0's host wants, known to all; with several ranks it may be told a few steps later.
  virtual Action agree(Action wanted) { return wanted; }
  /// After the last step.
  virtual void end(Replica<T, B>&) {}
  /// This rank cannot go on: lets the others know why. Never throws.
  virtual void fail(const std::string& /*why*/) noexcept {}
};

/// Throws DataError that names iteration and loss unless all are finite.
template <class Outputs>
void check_finite(const Outputs& outputs, std::span<const Loss> losses, std::int64_t iteration) {
  for (std::size_t k = 0; k < losses.size(); ++k)
    if (outputs[k].kind == TopPlan::loss && !std::isfinite(losses[k].value()))
      throw DataError(cat("iteration ", iteration, ": loss '", outputs[k].name, "' is ", losses[k].value(),
                          ": the training has diverged or the data holds such numbers; lower base_lr, set "
                          "clip_gradients, or check the data"));
}

/// The index of the first loss, or the number of outputs.
template <class Outputs>
std::size_t main_loss(const Outputs& outputs) {
  std::size_t k = 0;
  while (k < outputs.size() && outputs[k].kind != TopPlan::loss) ++k;
  return k;
}

/// The gradients of a step over iter_size distinct batches.
template <class T, class B>
class GradientStep {
 public:
  /// Leaves the gradients in r.net.gradients() and the losses in r.losses; returns the solver's scale. `add_up`
  /// makes the Losses of one part global. `last` is the sink of the last part: last.adding(yes) tells it first
  /// whether it comes on top of earlier ones.
  template <class AddUp, class LastSink>
  double run(Replica<T, B>& r, const AddUp& add_up, LastSink& last) {
    const auto outputs = r.net.outputs();
    r.losses.assign(outputs.size(), {});
    scale_.assign(outputs.size(), 0);
    double first = 0, total = 0;  // weights of the first loss
    for (int part = 0; part < r.iter_size; ++part) {
      const Step step{
          Phase::train,   r.seed,  static_cast<std::uint64_t>(r.iteration), static_cast<std::uint32_t>(part),
          r.first_sample, r.cancel};
      const std::span<const BatchTop<T>> batch = r.source.next();
      if (samples(batch) == 0)
        throw DataError(cat("iteration ", r.iteration, ": the source of batches has ended"));
      feed(r.net, batch);
      const std::span<const Loss> own = r.net.forward(step);
      losses_.assign(own.begin(), own.end());
      const std::span<Loss> losses = losses_;
      add_up(losses);
      check_finite(outputs, losses, r.iteration);
      if (part == 0) loss_scales(outputs, losses, std::span<double>(scale_));
      for (std::size_t k = 0; k < losses.size(); ++k) r.losses[k] += losses[k];
      if (const std::size_t k = main_loss(outputs); k < losses.size()) {
        if (part == 0) first = losses[k].weight;
        total += losses[k].weight;
      }
      if (part + 1 == r.iter_size) {
        last.adding(part > 0);
        Step whole = step;  // weights that change meanwhile belong to one step, all of them
        if (last.takes_pieces()) whole.cancel = nullptr;
        r.net.backward(whole, scale_, last);
      } else {
        r.net.backward(step, scale_, part == 0 ? static_cast<GradSink<T, B>&>(store_) : add_);
      }
    }
    return total > 0 && first > 0 ? first / total : 1.0 / r.iter_size;
  }
  /// The same on one rank.
  double run(Replica<T, B>& r) {
    Stay stay;
    return run(
        r, [](std::span<Loss>) {}, stay);
  }

 private:
  struct Stay final : GradSink<T, B> {
    bool add = false;
    void adding(bool yes) { add = yes; }
    bool adds() const override { return add; }
    void take(B&, std::size_t, std::span<const T>) override {}
  };

  StoreGradients<T, B> store_;
  AddGradients<T, B> add_;
  std::vector<double> scale_;
  std::vector<Loss> losses_;
};

template <class T, class B>
class SingleRank final : public Strategy<T, B> {
 public:
  void run_step(Replica<T, B>& r) override {
    if (B::ops_in_regions && r.iter_size == 1 && !r.solver.clips()) {
      UpdateGradients<T, B> update(r.solver, *r.net.parameters());
      update.begin(r.iteration);
      step_.run(
          r, [](std::span<Loss>) {}, update);
      return update.end();
    }
    const double scale = step_.run(r);
    r.solver.update(r.backend, *r.net.parameters(), r.net.gradients(), r.iteration, scale);
  }

 private:
  GradientStep<T, B> step_;
};

}  // namespace crema::inline CREMA_ABI
