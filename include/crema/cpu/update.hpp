// SPDX-License-Identifier: Apache-2.0
// Parameter update on the CPU.
#pragma once

#include "crema/cpu/backend.hpp"

namespace crema::inline CREMA_ABI {

template <class T> struct UpdateKernels {};

}  // namespace crema::inline CREMA_ABI
