// SPDX-License-Identifier: Apache-2.0
// Downpour SGD (Dean et al., "Large scale distributed deep networks", NIPS 2012): workers fetch weights every n_fetch
// steps and push accrued gradients every n_push, without waiting for each other; in between each moves its own copy.
//
//   Downpour<float, Cpu> strategy(comm, {.n_fetch = 5, .n_push = 5});      // rank 0 serves, the others work
//
// One worker, n_fetch = n_push = 1 and a solver without momentum is plain SGD.
#pragma once

#include "crema/parallel/parameter_server.hpp"

namespace crema::inline CREMA_ABI {

struct DownpourOptions {
  int n_fetch = 1, n_push = 1;
};

template <class T, class B>
class Downpour final : public ParameterServer<T, B> {
 public:
  explicit Downpour(Communicator& comm, DownpourOptions o = {})
      : ParameterServer<T, B>(comm, {.fetch_every = o.n_fetch, .push_every = o.n_push}), options_(o) {}
  std::string_view name() const override { return "downpour"; }

 protected:
  std::string settings() const override { return cat("downpour ", options_.n_fetch, " ", options_.n_push); }

 private:
  DownpourOptions options_;
};

}  // namespace crema::inline CREMA_ABI
