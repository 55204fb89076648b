// SPDX-License-Identifier: Apache-2.0
// Solver: who changes the weights. It owns its history, flat and parallel to the parameters.
//
//   auto solver = make_solver<float>(cpu, spec, *net.parameters());        // solvers/all.hpp
//   solver->update(cpu, *net.parameters(), net.gradients(), iteration);
//
// One update, in Caffe's order: clip the gradient's global norm, scale (1 / iter_size), regularise, then the
// rule of the solver with rate = learning_rate(iteration) * lr_mult, decay = weight_decay * decay_mult.
#pragma once

#include <cmath>
#include <memory>
#include <span>

#include "crema/net/parameters.hpp"
#include "crema/solvers/lr_policy.hpp"

namespace crema::inline CREMA_ABI {

class Cpu;

/// What all pieces of one update share.
struct SolverStep {
  std::int64_t iteration = 0;
  double rate = 0;   // of this iteration, before lr_mult
  double scale = 1;  // of the gradients
};

template <class T, class B>
class Solver {
 public:
  /// `histories`: how many numbers the rule keeps for each parameter. Throws SpecError for options that
  /// cannot be right.
  CREMA_COLD Solver(B& b, const SolverSpec& spec, const Parameters<T, B>& p, std::size_t histories);
  virtual ~Solver();

  const SolverSpec& spec() const { return spec_; }
  std::size_t histories() const { return history_.size(); }
  std::span<T> history(std::size_t i) { return {history_[i].data(), history_[i].size()}; }

  /// Changes `p` by `gradients` * scale (its d(objective)/d(parameters)) at this iteration (from 0).
  void update(B& b, Parameters<T, B>& p, std::span<const T> gradients, std::int64_t iteration,
              double scale = 1);

  SolverStep step(std::int64_t iteration, double scale = 1) const {
    return {iteration, learning_rate(spec_, iteration), scale};
  }

  /// Whether update() asks for the gradient's norm, and what it then multiplies by. Caffe clips what the
  /// parts of iter_size have added up to, before it is scaled.
  bool clips() const { return spec_.clip_gradients >= 0; }
  double clip_scale(double sum_of_squares) const {
    const double norm = std::sqrt(sum_of_squares);
    return norm > spec_.clip_gradients ? spec_.clip_gradients / norm : 1;
  }

  /// update() without clipping for a piece of the flat buffers alone, whose gradients begin with that of element `first`:
  /// `w` is all of Parameters::edit() of this change. Elements are independent: any split has the same bits, and pieces
  /// may be updated from inside a region.
  void update_part(B& b, std::span<const Segment> segments, std::span<T> w, std::span<const T> gradients,
                   std::size_t first, const SolverStep& step);

 protected:
  /// The rule itself, for a piece of one segment that begins at element `first` of the flat buffers.
  virtual void apply(B&, std::span<T> w, std::span<const T> gradients, std::size_t first, double rate,
                     double decay, const SolverStep&) = 0;
  SolverSpec spec_;
  std::vector<Buffer<T, B>> history_;
};

template <class T, class B>
Solver<T, B>::Solver(B& b, const SolverSpec& spec, const Parameters<T, B>& p, std::size_t histories)
    : spec_(spec) {
  learning_rate(spec, 0);
  if (spec.regularization_type != "L2" && spec.regularization_type != "L1")
    throw SpecError(cat("no regularization_type \"", spec.regularization_type, "\"; there are: L2, L1"));
  if (!(spec.momentum >= 0 && spec.momentum < 1))
    throw SpecError(cat("momentum must be in [0, 1), not ", spec.momentum));
  for (std::size_t i = 0; i < histories; ++i) history_.emplace_back(b, p.values().size());
}
template <class T, class B>
Solver<T, B>::~Solver() = default;

template <class T, class B>
void Solver<T, B>::update(B& b, Parameters<T, B>& p, std::span<const T> gradients, std::int64_t iteration,
                          double scale) {
  if (clips()) scale *= clip_scale(sum_of_squares<T>(b, gradients));
  update_part(b, p.segments(), p.edit(), gradients, 0, step(iteration, scale));
}

template <class T, class B>
void Solver<T, B>::update_part(B& b, std::span<const Segment> segments, std::span<T> w,
                               std::span<const T> gradients, std::size_t first, const SolverStep& step) {
  for (const Segment& s : segments) {
    const std::size_t from = std::max(first, s.offset),
                      to = std::min(first + gradients.size(), s.offset + s.count);
    if (s.lr_mult == 0 || from >= to) continue;
    apply(b, w.subspan(from, to - from), gradients.subspan(from - first, to - from), from,
          step.rate * s.lr_mult, spec_.weight_decay * s.decay_mult, step);
  }
}

#if defined(CREMA_COMPILED)  // crema::compiled has it
extern template class Solver<float, Cpu>;
extern template class Solver<double, Cpu>;
#endif

}  // namespace crema
