// SPDX-License-Identifier: Apache-2.0
// Calls of a Communicator in words, for errors: "all_reduce (sum) of 10 float32".
#pragma once

#include "crema/comm/communicator.hpp"

namespace crema::inline CREMA_ABI::detail {

/// "10 float32". `type` may come from a peer: it is checked.
inline std::string elements_text(std::uint64_t count, std::uint8_t type) {
  constexpr const char* names[] = {"float32", "float64", "bfloat16", "int32", "int64", "uint8"};
  return cat(count, " ", type < 6 ? names[type] : "of an unknown type");
}
inline std::string call_text(std::uint8_t kind, std::uint8_t type, std::uint8_t reduction,
                             std::uint64_t count, int root) {
  constexpr const char* kinds[] = {"broadcast", "all_reduce", "reduce_scatter", "all_gather", "barrier"};
  constexpr const char* reductions[] = {" (sum)", " (max)", " (min)"};
  if (kind == Operation::barrier) return "barrier";
  std::string text = kind < 5 ? kinds[kind] : "an unknown call";
  if ((kind == Operation::all_reduce || kind == Operation::reduce_scatter) && reduction < 3)
    text += reductions[reduction];
  text += cat(" of ", elements_text(count, type));
  if (kind == Operation::broadcast) text += cat(" from rank ", root);
  return text;
}
inline std::string call_text(const Operation& op) {
  return call_text(op.kind, static_cast<std::uint8_t>(op.type), static_cast<std::uint8_t>(op.reduction),
                   op.count, op.peer);
}
/// Of a collective that did not end in time. `who` has not come to it; empty where all have.
inline std::string late_call_text(std::string_view who, std::string_view call, std::string_view own,
                                  double seconds) {
  return cat(who.empty() ? cat(call, " did not end") : cat(who, " did not come to ", call), " within ",
             seconds, " s (", own, " waited)");
}
/// Of a message that did not come, or was not taken, in time. `peer`, `own`: "rank 3".
inline std::string late_message_text(const Operation& op, std::string_view peer, std::string_view own,
                                     double seconds) {
  return cat(peer, op.kind == Operation::send ? " did not receive " : " did not send ",
             elements_text(op.count, static_cast<std::uint8_t>(op.type)), " with tag ", op.tag, " within ",
             seconds, " s (", own, " waited)");
}

}  // namespace crema
