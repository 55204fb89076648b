// SPDX-License-Identifier: Apache-2.0
// Elastic averaging SGD: every rank explores alone, tied to a centre by a spring (Zhang, Choromanska, LeCun, "Deep
// learning with elastic averaging SGD", NIPS 2015).
//
//   ElasticAveraging<float, Cpu> strategy(comm, {.alpha = 0.9 / 4, .tau = 8});
//
// Every tau steps, with x of rank i and the centre c that all ranks hold a copy of:
//
//   d_i = alpha (x_i - c)      x_i <- x_i - eta g_i(x_i) - d_i      c <- c + sum over i of d_i
//
// the sum travels while the gradient is computed. alpha is the moving rate; the paper takes beta / p with beta = 0.9
// for p ranks, which is the default. The solver's momentum makes it EASGD with momentum; with `eamsgd` the gradient is
// taken where the momentum will carry the weights, as in Nesterov's method: v <- delta v - eta g(x + delta v), x <- x + v.
// A snapshot holds the centre and the mean of the ranks' momentum. Losses shown are the rank's own.
#pragma once

#include "crema/parallel/distributed.hpp"

namespace crema::inline CREMA_ABI {

struct ElasticAveragingOptions {
  double alpha = -1;  // below 0: 0.9 / ranks
  int tau = 4;
  bool eamsgd = false;
};

template <class T, class B>
class ElasticAveraging final : public Distributed<T, B> {
 public:
  explicit ElasticAveraging(Communicator& comm, ElasticAveragingOptions options = {})
      : Distributed<T, B>(comm), options_(options) {
    if (options_.alpha < 0) options_.alpha = 0.9 / comm.size();
    if (options_.tau < 1) throw SpecError(cat("tau must be 1 or more, not ", options_.tau));
    if (options_.alpha * comm.size() > 1 + 1e-9)
      throw SpecError(cat("alpha ", options_.alpha, " times ", comm.size(),
                          " ranks is above 1: the centre would overshoot"));
  }
  std::string_view name() const override { return options_.eamsgd ? "eamsgd" : "easgd"; }

  void begin(Replica<T, B>& r) override {
    Distributed<T, B>::begin(r);
    const auto w = r.net.parameters()->values();
    centre_.assign(w.begin(), w.end());
  }

  void run_step(Replica<T, B>& r) override {
    this->meets_ = r.iteration % options_.tau == 0;
    Ticket sum;
    if (this->meets_) {
      const auto w = r.net.parameters()->values();
      const T alpha = static_cast<T>(options_.alpha);
      pull_.resize(w.size()), sum_.resize(w.size());
      for (std::size_t i = 0; i < w.size(); ++i) sum_[i] = pull_[i] = alpha * (w[i] - centre_[i]);
      sum = this->comm_.start_all_reduce(std::span<T>(sum_));
    }
    const double scale = gradients(r);
    r.solver.update(r.backend, *r.net.parameters(), r.net.gradients(), r.iteration, scale);
    if (!this->meets_) return;
    this->comm_.wait(sum);
    const std::span<T> w = r.net.parameters()->edit();
    for (std::size_t i = 0; i < w.size(); ++i) w[i] -= pull_[i], centre_[i] += sum_[i];
  }

  void enter_consensus(Replica<T, B>& r, bool history) override {
    swap_centre(r);
    own_history_.clear();
    for (std::size_t h = 0; history && h < r.solver.histories(); ++h) {
      const std::span<T> values = r.solver.history(h);
      own_history_.emplace_back(values.begin(), values.end());
      this->comm_.all_reduce(values);
      scale<T>(r.backend, T(1) / static_cast<T>(this->ranks()), values);
    }
    if (history) this->check_weights(r);
  }
  void leave_consensus(Replica<T, B>& r) override {
    swap_centre(r);
    for (std::size_t h = 0; h < own_history_.size(); ++h)
      std::copy(own_history_[h].begin(), own_history_[h].end(), r.solver.history(h).begin());
  }
  /// The job ends with the centre.
  void end(Replica<T, B>& r) override {
    const std::span<T> w = r.net.parameters()->edit();
    std::copy(centre_.begin(), centre_.end(), w.begin());
  }

 protected:
  std::string settings() const override { return cat(name(), " ", options_.alpha, " ", options_.tau); }

 private:
  /// The step's gradients, for EAMSGD those of x + delta v = x - momentum * history.
  double gradients(Replica<T, B>& r) {
    if (!options_.eamsgd) return step_.run(r);
    const std::span<T> w = r.net.parameters()->edit();
    own_.assign(w.begin(), w.end());
    const T delta = static_cast<T>(r.solver.spec().momentum);
    axpby<T>(r.backend, -delta, r.solver.history(0), 1, w);
    const double scale = step_.run(r);
    std::copy(own_.begin(), own_.end(), r.net.parameters()->edit().begin());
    return scale;
  }
  void swap_centre(Replica<T, B>& r) {
    const std::span<T> w = r.net.parameters()->edit();
    std::swap_ranges(centre_.begin(), centre_.end(), w.begin());
  }

  ElasticAveragingOptions options_;
  GradientStep<T, B> step_;
  std::vector<T> centre_, pull_, sum_, own_;
  std::vector<std::vector<T>> own_history_;
};

}  // namespace crema::inline CREMA_ABI
