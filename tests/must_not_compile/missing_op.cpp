// SPDX-License-Identifier: Apache-2.0
// A backend that lacks an op must not compile: nothing falls back to another device.
// expect: relu_forward
#include "crema/layers/relu.hpp"
struct Abacus {};
template class crema::ReLU<float, Abacus>;
