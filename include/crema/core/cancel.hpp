// SPDX-License-Identifier: Apache-2.0
// Cancel: a flag that a host raises from any thread or signal handler, and that long operations look at.
#pragma once

#include <atomic>

#include "crema/core/error.hpp"

namespace crema::inline CREMA_ABI {

class Cancel {
 public:
  void request() noexcept { requested_.store(true, std::memory_order_relaxed); }  // async-signal-safe
  bool requested() const noexcept { return requested_.load(std::memory_order_relaxed); }
  void check() const {
    if (requested()) throw Cancelled("cancelled by the host");
  }

 private:
  std::atomic<bool> requested_{false};
};

}  // namespace crema
