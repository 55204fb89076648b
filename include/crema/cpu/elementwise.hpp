// SPDX-License-Identifier: Apache-2.0
// Element-wise ops on the CPU.
#pragma once

#include "crema/cpu/backend.hpp"

namespace crema::inline CREMA_ABI {

template <class T> struct ElementwiseKernels {};

}  // namespace crema::inline CREMA_ABI
