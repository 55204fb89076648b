// SPDX-License-Identifier: Apache-2.0
// SGD with momentum: h = momentum h + rate (g + decay w), w
// -= h. The rate is inside the momentum, as in Caffe.
#pragma once

#include "crema/solvers/solver.hpp"

namespace crema::inline CREMA_ABI {

template <class T, class B>
class SgdSolver final : public Solver<T, B> {
 public:
  SgdSolver(B& b, const SolverSpec& spec, const Parameters<T, B>& p) : Solver<T, B>(b, spec, p, 1) {}

 protected:
  void apply(B& b, std::span<T> w, std::span<const T> gradients, std::size_t first, double rate, double decay,
             const SolverStep& step) override {
    sgd_update<T>(b, w, gradients, this->history(0).subspan(first, w.size()),
                  {.rate = static_cast<T>(rate),
                   .momentum = static_cast<T>(this->spec_.momentum),
                   .decay = static_cast<T>(decay),
                   .l1 = this->spec_.regularization_type == "L1",
                   .scale = static_cast<T>(step.scale)});
  }
};

#if defined(CREMA_COMPILED)  // crema::compiled has it
extern template class SgdSolver<float, Cpu>;
extern template class SgdSolver<double, Cpu>;
#endif

}  // namespace crema
