// SPDX-License-Identifier: Apache-2.0
// Local response normalisation on the CPU.
#pragma once

#include "crema/cpu/backend.hpp"

namespace crema::inline CREMA_ABI {

template <class T> struct LrnKernels {};

}  // namespace crema::inline CREMA_ABI
