// SPDX-License-Identifier: Apache-2.0
// Sample order: which samples a shard visits in an epoch, a function of (seed, epoch, shard) alone.
//
// A job has V virtual shards, fixed at its start; shard v holds the samples v, v + V, v + 2V, ... One process
// is the case V = 1.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "crema/core/random.hpp"
#include "crema/core/text.hpp"

namespace crema::inline CREMA_ABI {

/// The virtual shards of a job that one rank serves: [first, first + count) of `total`.
struct Shards {
  int total = 1, first = 0, count = 1;
};

/// The samples of one shard of `n` samples, shuffled (Fisher and Yates, drawn by Philox) or in order.
inline std::vector<std::int64_t> sample_order(std::int64_t n, std::uint64_t seed, std::int64_t epoch,
                                              int shard, int shards, bool shuffle) {
  std::vector<std::int64_t> order;
  for (std::int64_t i = shard; i < n; i += shards) order.push_back(i);
  if (!shuffle) return order;
  const Key key = random_key(seed, cat("shuffle ", shard));
  for (std::size_t i = order.size(); i > 1; --i) {
    const Counter r = philox({static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(i >> 32),
                              static_cast<std::uint32_t>(epoch), static_cast<std::uint32_t>(epoch >> 32)},
                             key);
    std::swap(order[i - 1], order[static_cast<std::size_t>(std::uint64_t{r[0]} * i >> 32)]);  // i < 2^32
  }
  return order;
}

}  // namespace crema
