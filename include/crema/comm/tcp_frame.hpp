// SPDX-License-Identifier: Apache-2.0
// What stands before the numbers on a tcp link: which call they belong to. The receiver compares it with its own
// call before it takes anything for granted.
#pragma once

#include <cstring>
#include <memory>

#include "crema/comm/call_text.hpp"
#include "crema/comm/socket.hpp"

namespace crema::inline CREMA_ABI::detail {

/// Sent as it lies in memory: a World takes only ranks of one byte order.
struct Frame {
  static constexpr std::uint32_t expected_magic = 0x616d7263;  // "crma"

  std::uint32_t magic = expected_magic;
  std::uint32_t id = 0;  // of the collective, or of the message
  std::uint8_t kind = 0, type = 0, reduction = 0, unused = 0;
  std::int32_t peer = 0;  // root of a collective, tag of a message
  std::uint64_t count = 0;

  bool operator==(const Frame&) const = default;
};
static_assert(sizeof(Frame) == 24);

/// A rank whose link ended; thrown inside the tcp communicator, where the world's verdict is asked for.
struct LostRank {
  int rank;
  std::string why;
};

inline std::string call_text(const Frame& f) {
  return call_text(f.kind, f.type, f.reduction, f.count, f.peer);
}
inline Frame frame_of(const Operation& op, std::uint32_t id) {
  Frame f;
  f.id = id;
  f.kind = op.kind;
  f.type = static_cast<std::uint8_t>(op.type);
  f.reduction = static_cast<std::uint8_t>(op.reduction);
  f.peer = op.is_message() ? op.tag : op.peer;
  f.count = op.count;
  return f;
}

}  // namespace crema
