// SPDX-License-Identifier: Apache-2.0
// What stands before the numbers on a tcp link: which call they belong to. The receiver compares it with its own
// call before it takes anything for granted.
#pragma once

#include <cstring>
#include <memory>

#include "crema/comm/communicator.hpp"
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

/// "10 float32"
inline std::string elements_text(std::uint64_t count, std::uint8_t type) {
  constexpr const char* names[] = {"float32", "float64", "bfloat16", "int32", "int64", "uint8"};
  return cat(count, " ", type < 6 ? names[type] : "of an unknown type");
}
/// "all_reduce (sum) of 10 float32"
inline std::string call_text(const Frame& f) {
  constexpr const char* kinds[] = {"broadcast", "all_reduce", "reduce_scatter", "all_gather", "barrier"};
  constexpr const char* reductions[] = {" (sum)", " (max)", " (min)"};
  if (f.kind == Operation::barrier) return "barrier";
  std::string text = f.kind < 5 ? kinds[f.kind] : "an unknown call";
  if ((f.kind == Operation::all_reduce || f.kind == Operation::reduce_scatter) && f.reduction < 3)
    text += reductions[f.reduction];
  text += cat(" of ", elements_text(f.count, f.type));
  if (f.kind == Operation::broadcast) text += cat(" from rank ", f.peer);
  return text;
}
inline Frame frame_of(const Operation& op, std::uint32_t id) {
  Frame f;
  f.id = id;
  f.kind = op.kind;
  f.type = static_cast<std::uint8_t>(op.type);
  f.reduction = static_cast<std::uint8_t>(op.reduction);
  f.peer = op.kind == Operation::send || op.kind == Operation::receive ? op.tag : op.peer;
  f.count = op.count;
  return f;
}

}  // namespace crema
