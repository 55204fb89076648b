// SPDX-License-Identifier: Apache-2.0
// Memory plan: where in one arena each piece of a net's memory lies, so that pieces whose lifetimes do not
// meet share bytes.
//
// Time runs from 0 to 2L for L layers: layer i goes forward at time i and backward at time 2L - 1 - i. First
// fit, largest piece first; quadratic in the pieces, which is nothing beside the first step.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "crema/core/config.hpp"

namespace crema::inline CREMA_ABI {

struct MemoryPiece {
  std::size_t bytes = 0;
  int first = 0, last = 0;  // inclusive
  std::size_t offset = 0;   // filled in by place()
};

/// Fills in the offsets (multiples of 64) and returns the bytes of the arena.
CREMA_INLINE std::size_t place(std::vector<MemoryPiece>& pieces);
#if CREMA_BODIES
CREMA_INLINE std::size_t place(std::vector<MemoryPiece>& pieces) {
  std::vector<std::size_t> order, placed;
  const auto insert = [](std::vector<std::size_t>& sorted, std::size_t i, const auto& comes_later) {
    sorted.push_back(i);
    for (std::size_t k = sorted.size() - 1; k > 0 && comes_later(sorted[k - 1]); --k)
      std::swap(sorted[k], sorted[k - 1]);
  };
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const auto smaller = [&](std::size_t k) { return pieces[k].bytes < pieces[i].bytes; };
    insert(order, i, smaller);
  }
  std::size_t arena = 0;
  for (const std::size_t i : order) {
    MemoryPiece& p = pieces[i];
    p.bytes = (p.bytes + 63) / 64 * 64;
    p.offset = 0;
    for (const std::size_t k : placed) {  // `placed` is sorted by offset: the first gap that is wide enough
      const MemoryPiece& q = pieces[k];
      if (q.last < p.first || p.last < q.first) continue;
      if (p.offset + p.bytes <= q.offset) break;
      p.offset = std::max(p.offset, q.offset + q.bytes);
    }
    arena = std::max(arena, p.offset + p.bytes);
    const auto behind = [&](std::size_t k) { return p.offset < pieces[k].offset; };
    insert(placed, i, behind);
  }
  return arena;
}
#endif

}  // namespace crema
