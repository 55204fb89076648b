// SPDX-License-Identifier: Apache-2.0
// The translation unit of crema::compiled: what every CPU program needs, compiled once.
#define CREMA_COMPILING
#include "crema/cpu/kernels.hpp"
#include "crema/layers/all.hpp"
#include "crema/train/trainer.hpp"

namespace crema::inline CREMA_ABI {

#define CREMA_LAYER(L, header, cuda)                                      \
  template LayerKind<float, Cpu> layer_kind<float, Cpu, L<float, Cpu>>(); \
  template LayerKind<double, Cpu> layer_kind<double, Cpu, L<double, Cpu>>();
#include "crema/layers/layers.def"
#undef CREMA_LAYER
template class Registry<float, Cpu>;
template class Registry<double, Cpu>;
template class Solver<float, Cpu>;
template class Solver<double, Cpu>;
template class SgdSolver<float, Cpu>;
template class SgdSolver<double, Cpu>;
template class Net<float, Cpu>;
template class Net<double, Cpu>;
template Registry<float, Cpu> all_layers<float, Cpu>();
template Registry<double, Cpu> all_layers<double, Cpu>();
template std::unique_ptr<Solver<float, Cpu>> make_solver<float, Cpu>(Cpu&, const SolverSpec&,
                                                                     const Parameters<float, Cpu>&);
template std::unique_ptr<Solver<double, Cpu>> make_solver<double, Cpu>(Cpu&, const SolverSpec&,
                                                                       const Parameters<double, Cpu>&);
template class Trainer<float, Cpu>;

}  // namespace crema
