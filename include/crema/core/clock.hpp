// SPDX-License-Identifier: Apache-2.0
// Time in seconds, without <chrono> (0.7 s of every compile).
#pragma once

#include <time.h>

#include "crema/core/config.hpp"

namespace crema::inline CREMA_ABI {

inline double seconds(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}
/// Seconds on a clock that never jumps; only differences mean something.
inline double monotonic_seconds() { return seconds(CLOCK_MONOTONIC); }

}  // namespace crema
