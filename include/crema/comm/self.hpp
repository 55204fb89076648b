// SPDX-License-Identifier: Apache-2.0
// SelfCommunicator: a world of one rank, so that a program needs no special case for it.
//
//   SelfCommunicator comm;      comm.all_reduce(gradients);      // done at once: nothing changes
#pragma once

#include "crema/comm/threads.hpp"

namespace crema::inline CREMA_ABI {

class SelfCommunicator final : public ThreadCommunicator {
 public:
  explicit SelfCommunicator(double timeout = 60)
      : ThreadCommunicator(std::make_shared<detail::ThreadTeam>(1), 0, timeout) {}
  std::string_view name() const noexcept override { return "self"; }
};

}  // namespace crema
