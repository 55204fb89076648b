// SPDX-License-Identifier: Apache-2.0
// Limits: what a loader may take from a file that it does not trust. Every reader accepts one; the defaults
// admit all published Caffe models and stop a hostile file before memory is taken for it.
#pragma once

#include <cstdint>

#include "crema/core/config.hpp"

namespace crema::inline CREMA_ABI {

struct Limits {
  std::int64_t bytes = std::int64_t{4} << 30;     // of one input file
  std::int64_t elements = std::int64_t{1} << 30;  // of one blob
  std::int64_t layers = 10'000;                   // of one net
  std::int64_t fields = 1'000'000;                // of one message and all in it; an array counts once
  int nesting = 32;                               // messages inside messages; Caffe's own schema needs 6
  int errors = 20;                                // reported at once by one parse
};

}  // namespace crema
