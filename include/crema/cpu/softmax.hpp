// SPDX-License-Identifier: Apache-2.0
// Softmax on the CPU.
#pragma once

#include "crema/cpu/backend.hpp"

namespace crema::inline CREMA_ABI {

template <class T> struct SoftmaxKernels {};

}  // namespace crema::inline CREMA_ABI
