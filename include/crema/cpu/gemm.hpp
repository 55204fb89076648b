// SPDX-License-Identifier: Apache-2.0
// Matrix product on the CPU.
#pragma once

#include "crema/cpu/backend.hpp"

namespace crema::inline CREMA_ABI {

template <class T> struct GemmKernels {};

}  // namespace crema::inline CREMA_ABI
