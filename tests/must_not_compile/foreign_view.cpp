// SPDX-License-Identifier: Apache-2.0
// A view of one backend's memory does not go into another's op.
// expect: View
#include "crema/cpu/cpu.hpp"
struct Abacus {};
void f(crema::Cpu& cpu, crema::View<const float, Abacus> x, crema::View<float, crema::Cpu> y) {
  crema::relu_forward(cpu, x, y, 0.f);
}
