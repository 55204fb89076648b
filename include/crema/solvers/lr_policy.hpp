// SPDX-License-Identifier: Apache-2.0
// Learning-rate policies: Caffe's seven, as functions of the iteration.
//
//   fixed      base_lr                                   step       base_lr * gamma^floor(i / stepsize)
//   exp        base_lr * gamma^i                         inv        base_lr * (1 + gamma i)^-power
//   multistep  base_lr * gamma^(stepvalues passed)       poly       base_lr * (1 - i / max_iter)^power
//   sigmoid    base_lr / (1 + exp(-gamma (i - stepsize)))
#pragma once

#include <cmath>

#include "crema/spec/solver_spec.hpp"

namespace crema::inline CREMA_ABI {

/// Stepvalues that iteration i has reached: multistep's exponent, and SolverState's current_step.
inline int current_step(const SolverSpec& s, std::int64_t i) {
  int step = 0;
  while (step < static_cast<int>(s.stepvalue.size()) && i >= s.stepvalue[static_cast<std::size_t>(step)])
    ++step;
  return step;
}

/// The rate of iteration i (from 0). Throws SpecError for an unknown policy or one whose options are missing.
CREMA_INLINE_HOT double learning_rate(const SolverSpec& s, std::int64_t i);
#if CREMA_BODIES
CREMA_INLINE_HOT double learning_rate(const SolverSpec& s, std::int64_t i) {
  const double base = s.base_lr, gamma = s.gamma, at = static_cast<double>(i);
  const std::string& p = s.lr_policy;
  if (p == "fixed") return base;
  if (p == "step") {
    if (s.stepsize <= 0) throw SpecError("lr_policy \"step\" needs a stepsize above 0");
    return base * std::pow(gamma, static_cast<double>(i / s.stepsize));
  }
  if (p == "exp") return base * std::pow(gamma, at);
  if (p == "inv") return base * std::pow(1 + gamma * at, -static_cast<double>(s.power));
  if (p == "multistep") return base * std::pow(gamma, current_step(s, i));
  if (p == "poly") {
    if (s.max_iter <= 0) throw SpecError("lr_policy \"poly\" needs a max_iter above 0");
    return base * std::pow(std::max(0.0, 1 - at / s.max_iter), static_cast<double>(s.power));
  }
  if (p == "sigmoid") return base / (1 + std::exp(-gamma * (at - s.stepsize)));
  throw SpecError(
      cat("no lr_policy \"", p, "\"; there are: fixed, step, exp, inv, multistep, poly, sigmoid"));
}
#endif

}  // namespace crema
