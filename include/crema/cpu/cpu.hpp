// SPDX-License-Identifier: Apache-2.0
// The CPU backend: class Cpu, all of its ops and, unless the program links crema::compiled, its kernels.
//
//   Cpu cpu;                                      // all cores that the process may use, best instruction set
//   Cpu one({.threads = 1, .isa = Isa::avx2});
//
// Header-only, the kernels of one scalar type cost 1 to 5 s of g++ -O2, by
// the families that are used; with crema::compiled this header costs less
// than 1 s. Headers inside the library include cpu/backend.hpp instead.
#pragma once

#include "crema/cpu/backend.hpp"
#include "crema/cpu/convolution.hpp"
#include "crema/cpu/dropout.hpp"
#include "crema/cpu/elementwise.hpp"
#include "crema/cpu/gemm.hpp"
#include "crema/cpu/inner_product.hpp"
#include "crema/cpu/lrn.hpp"
#include "crema/cpu/order.hpp"
#include "crema/cpu/pooling.hpp"
#include "crema/cpu/softmax.hpp"
#include "crema/cpu/update.hpp"

#if !defined(CREMA_COMPILED)
#include "crema/cpu/kernels.hpp"
#endif
