// SPDX-License-Identifier: Apache-2.0
// The one translation unit of crema::compiled: the CPU kernels, for everyone who links it.
#include "crema/cpu/kernels.hpp"
