// SPDX-License-Identifier: Apache-2.0
// Local SGD: every rank trains alone, and every tau steps the weights are averaged.
//
//   LocalSgd<float, Cpu> strategy(comm, {.tau = 10});
//
// w_k <- mean over k of w_k when (t + 1) mod tau = 0 (Stich, "Local SGD converges fast and communicates little",
// 2018; SparkNet: Moritz et al., 2016). Post-local (Lin et al., "Don't use large mini-batches, use local SGD", 2018):
// until `local_from` the weights are averaged at every step. Momentum stays with its rank. tau = 1 without momentum is
// synchronous SGD. Losses shown are the rank's own.
#pragma once

#include "crema/parallel/distributed.hpp"

namespace crema::inline CREMA_ABI {

struct LocalSgdOptions {
  int tau = 10;
  std::int64_t local_from = 0;  // iteration from which tau counts
};

template <class T, class B>
class LocalSgd final : public Distributed<T, B> {
 public:
  explicit LocalSgd(Communicator& comm, LocalSgdOptions options = {})
      : Distributed<T, B>(comm), options_(options) {
    if (options.tau < 1) throw SpecError(cat("tau must be 1 or more, not ", options.tau));
  }
  std::string_view name() const override { return "local_sgd"; }

  void run_step(Replica<T, B>& r) override {
    const double scale = step_.run(r);
    r.solver.update(r.backend, *r.net.parameters(), r.net.gradients(), r.iteration, scale);
    this->meets_ = r.iteration < options_.local_from || (r.iteration + 1) % options_.tau == 0;
    if (this->meets_) average(r, r.net.parameters()->edit());
  }

  /// The mean of the weights, and of the history for a snapshot; each rank's own come back after.
  void enter_consensus(Replica<T, B>& r, bool history) override {
    const auto w = r.net.parameters()->values();
    own_.assign(w.begin(), w.end());
    average(r, r.net.parameters()->edit());
    own_history_.clear();
    for (std::size_t h = 0; history && h < r.solver.histories(); ++h) {
      const std::span<T> values = r.solver.history(h);
      own_history_.emplace_back(values.begin(), values.end());
      average(r, values);
    }
    if (history) this->check_weights(r);
  }
  void leave_consensus(Replica<T, B>& r) override {
    std::copy(own_.begin(), own_.end(), r.net.parameters()->edit().begin());
    for (std::size_t h = 0; h < own_history_.size(); ++h)
      std::copy(own_history_[h].begin(), own_history_[h].end(), r.solver.history(h).begin());
  }

 protected:
  std::string settings() const override { return cat("local_sgd ", options_.tau, " ", options_.local_from); }

 private:
  void average(Replica<T, B>& r, std::span<T> values) {
    this->comm_.all_reduce(values);
    scale<T>(r.backend, T(1) / static_cast<T>(this->ranks()), values);
  }

  LocalSgdOptions options_;
  GradientStep<T, B> step_;
  std::vector<T> own_;
  std::vector<std::vector<T>> own_history_;
};

}  // namespace crema::inline CREMA_ABI
