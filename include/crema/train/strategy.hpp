// SPDX-License-Identifier: Apache-2.0
// Strategy: who owns a training step. SingleRank: one rank, nobody to agree with.
//
//   Replica<float, Cpu> replica{cpu, net, solver, source, iter_size, seed};
//   SingleRank<float, Cpu> strategy;
//   strategy.run_step(replica);             // replica.losses: the step's Losses, parallel to net.outputs()
//
// A step is fetch, forward, combine, backward into a sink, commit, iter_size times over distinct batches.
// Losses are sums with weights. With w_j the weight of part j, part j's backward gets loss_weight / w_0, and
// the solver's scale is w_0 / (w_0 + w_1 + ...): the objective of all samples together, in one pass, exact
// for one loss, and for several where their weights keep their proportion from part to part.
#pragma once

#include <cmath>

#include "crema/solvers/solver.hpp"
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
  std::int64_t iteration = 0;     // of the step to run
  std::vector<Loss> losses = {};  // of the step that has run, over all its samples
};

template <class T, class B>
class Strategy {
 public:
  virtual ~Strategy() = default;
  /// Runs step replica.iteration and changes the weights. Throws DataError, before anything is changed, when
  /// a loss is no finite number.
  virtual void run_step(Replica<T, B>& replica) = 0;
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

template <class T, class B>
class SingleRank final : public Strategy<T, B> {
 public:
  void run_step(Replica<T, B>& r) override {
    const auto outputs = r.net.outputs();
    r.losses.assign(outputs.size(), {});
    scale_.assign(outputs.size(), 0);
    double first = 0, total = 0;  // weights of the first loss
    for (int part = 0; part < r.iter_size; ++part) {
      const Step step{
          Phase::train, r.seed, static_cast<std::uint64_t>(r.iteration), static_cast<std::uint32_t>(part), 0,
          r.cancel};
      const std::span<const BatchTop<T>> batch = r.source.next();
      if (samples(batch) == 0)
        throw DataError(cat("iteration ", r.iteration, ": the source of batches has ended"));
      feed(r.net, batch);
      const std::span<const Loss> losses = r.net.forward(step);
      check_finite(outputs, losses, r.iteration);
      if (part == 0) loss_scales(outputs, losses, std::span<double>(scale_));
      for (std::size_t k = 0; k < losses.size(); ++k) r.losses[k] += losses[k];
      if (const std::size_t k = main_loss(outputs); k < losses.size()) {
        if (part == 0) first = losses[k].weight;
        total += losses[k].weight;
      }
      r.net.backward(step, scale_, part == 0 ? static_cast<GradSink<T, B>&>(store_) : add_);
    }
    const double scale = total > 0 && first > 0 ? first / total : 1.0 / r.iter_size;
    r.solver.update(r.backend, *r.net.parameters(), r.net.gradients(), r.iteration, scale);
  }

 private:
  template <class Outputs>
  static std::size_t main_loss(const Outputs& outputs) {
    std::size_t k = 0;
    while (k < outputs.size() && outputs[k].kind != TopPlan::loss) ++k;
    return k;
  }

  StoreGradients<T, B> store_;
  AddGradients<T, B> add_;
  std::vector<double> scale_;
};

}  // namespace crema::inline CREMA_ABI
