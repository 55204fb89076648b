// SPDX-License-Identifier: Apache-2.0
// make_solver: the solver that a SolverSpec names.
#pragma once

#include "crema/solvers/sgd.hpp"
#include "crema/solvers/update_gradients.hpp"

namespace crema::inline CREMA_ABI {

/// Throws SpecError for a type that there is not.
template <class T, class B>
std::unique_ptr<Solver<T, B>> make_solver(B& b, const SolverSpec& spec, const Parameters<T, B>& p) {
  if (spec.type == "SGD" && spec.solver_type.value_or(SolverType::sgd) == SolverType::sgd)
    return std::make_unique<SgdSolver<T, B>>(b, spec, p);
  throw SpecError(cat("no solver type \"", spec.type, "\"; there is: SGD"));
}

#if defined(CREMA_COMPILED)  // crema::compiled has them
extern template std::unique_ptr<Solver<float, Cpu>> make_solver<float, Cpu>(Cpu&, const SolverSpec&,
                                                                            const Parameters<float, Cpu>&);
extern template std::unique_ptr<Solver<double, Cpu>> make_solver<double, Cpu>(Cpu&, const SolverSpec&,
                                                                              const Parameters<double, Cpu>&);
#endif

}  // namespace crema
