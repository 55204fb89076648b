// SPDX-License-Identifier: Apache-2.0
// Order conversion on the CPU.
#pragma once

#include "crema/cpu/backend.hpp"

namespace crema::inline CREMA_ABI {

template <class T> struct OrderKernels {};

}  // namespace crema::inline CREMA_ABI
