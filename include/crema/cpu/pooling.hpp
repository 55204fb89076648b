// SPDX-License-Identifier: Apache-2.0
// Pooling on the CPU.
#pragma once

#include "crema/cpu/backend.hpp"

namespace crema::inline CREMA_ABI {

template <class T> struct PoolingKernels {};

}  // namespace crema::inline CREMA_ABI
