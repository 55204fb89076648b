// SPDX-License-Identifier: Apache-2.0
// Convolution on the CPU.
#pragma once

#include "crema/cpu/backend.hpp"

namespace crema::inline CREMA_ABI {

template <class T> struct ConvolutionKernels {};

}  // namespace crema::inline CREMA_ABI
