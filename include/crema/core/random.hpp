// SPDX-License-Identifier: Apache-2.0
// Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011): random
// numbers as a pure function of (key, counter), so that what is drawn depends on seed, layer, iteration and
// sample alone, never on threads, ranks, order or history; nothing has to be saved to resume.
//
//   std::array<std::uint32_t, 4> r = philox({index, 0, 0, 0}, random_key(seed, "conv1"));
//   double u = uniform(r[0]);   // [0, 1)
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "crema/core/config.hpp"

namespace crema::inline CREMA_ABI {

using Counter = std::array<std::uint32_t, 4>;
using Key = std::array<std::uint32_t, 2>;

inline constexpr std::uint32_t philox_m0 = 0xD2511F53, philox_m1 = 0xCD9E8D57;  // round multipliers
inline constexpr std::uint32_t philox_w0 = 0x9E3779B9, philox_w1 = 0xBB67AE85;  // key increments

constexpr Counter philox(Counter c, Key k) noexcept {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{philox_m0} * c[0], p1 = std::uint64_t{philox_m1} * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<std::uint32_t>(p0)};
    k = {k[0] + philox_w0, k[1] + philox_w1};
  }
  return c;
}

/// FNV-1a, 64 bit: a stable number for a name (layers, parameters) in random keys and fingerprints.
constexpr std::uint64_t hash_name(std::string_view name, std::uint64_t h = 0xcbf29ce484222325ull) noexcept {
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return h;
}

/// The key of one consumer of random numbers: the job's seed mixed with the consumer's name.
constexpr Key random_key(std::uint64_t seed, std::string_view name) noexcept {
  const std::uint64_t h = hash_name(name);
  const Counter c = philox({static_cast<std::uint32_t>(h), static_cast<std::uint32_t>(h >> 32), 0, 0},
                           {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
  return {c[0], c[1]};
}

/// A uniform number in [0, 1), a multiple of 2^-32.
constexpr double uniform(std::uint32_t bits) noexcept { return bits * 0x1p-32; }

/// A standard normal number (Box-Muller) from two words.
inline double normal(std::uint32_t a, std::uint32_t b) noexcept {
  return std::sqrt(-2 * std::log((a + 1.0) * 0x1p-32)) *
         std::cos(6.283185307179586476925286766559 * uniform(b));
}

}  // namespace crema
