// SPDX-License-Identifier: Apache-2.0
// UpdateGradients: a sink that updates the weights while backward runs, piece by piece, with the gradients still
// in cache. The bits are those of Solver::update, after fewer passes over memory.
//
//   UpdateGradients<float, Cpu> update(*solver, *net.parameters());
//   update.begin(iteration);                               // before the step's forward
//   net.forward(step), net.backward(step, scales, update);
//   update.end();
//
// For one rank and one part of a step, without clipping. Net::gradients() is not filled. What throws in backward
// leaves weights of which some are updated.
#pragma once

#include "crema/net/layer.hpp"
#include "crema/solvers/solver.hpp"

namespace crema::inline CREMA_ABI {

template <class T, class B>
class UpdateGradients final : public GradSink<T, B> {
 public:
  UpdateGradients(Solver<T, B>& solver, Parameters<T, B>& parameters)
      : solver_(solver), parameters_(parameters) {}

  /// Before the forward of the step.
  void begin(std::int64_t iteration) { weights_ = parameters_.edit(), step_ = solver_.step(iteration); }
  void adding(bool) {}  // one part alone
  bool takes_pieces() const override { return B::ops_in_regions; }
  const T* reads() const override { return solver_.histories() > 0 ? solver_.history(0).data() : nullptr; }
  void take(B& b, std::size_t first, std::span<const T> piece) override {
    solver_.update_part(b, parameters_.segments(), weights_, piece, first, step_);
  }
  /// After its backward: what was packed before it is stale.
  void end() { parameters_.edit(); }

 private:
  Solver<T, B>& solver_;
  Parameters<T, B>& parameters_;
  std::span<T> weights_;
  SolverStep step_;
};

}  // namespace crema
