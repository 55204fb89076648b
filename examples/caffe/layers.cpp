// SPDX-License-Identifier: Apache-2.0
#include "crema/layers/all.hpp"

#include "program.hpp"

crema::Registry<float, crema::Cpu> layers() { return crema::all_layers<float, crema::Cpu>(); }
