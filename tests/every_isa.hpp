// SPDX-License-Identifier: Apache-2.0
// every_isa(): the instruction sets that this machine can run; CPU tests loop over them.
#pragma once

#include <vector>

#include "crema/cpu/dispatch.hpp"

inline std::vector<crema::Isa> every_isa() {
  std::vector<crema::Isa> sets;
  for (const crema::Isa isa : {crema::Isa::baseline, crema::Isa::avx2, crema::Isa::avx512})
    if (crema::isa_available(isa)) sets.push_back(isa);
  return sets;
}
