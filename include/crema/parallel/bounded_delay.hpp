// SPDX-License-Identifier: Apache-2.0
// Bounded delay (Li et al., "Scaling distributed machine learning with the parameter server", OSDI 2014): workers push
// every gradient and fetch before every step; a step waits until all from more than `delay` iterations before it are in.
//
//   BoundedDelay<float, Cpu> strategy(comm, {.delay = 2});      // rank 0 serves and enforces it, the others work
//
// A push counts 1 / workers: with delay = 0 and a solver without momentum and decay it is synchronous SGD over the
// workers' batches together.
#pragma once

#include "crema/parallel/parameter_server.hpp"

namespace crema::inline CREMA_ABI {

struct BoundedDelayOptions {
  std::int64_t delay = 1;
};

template <class T, class B>
class BoundedDelay final : public ParameterServer<T, B> {
 public:
  explicit BoundedDelay(Communicator& comm, BoundedDelayOptions o = {})
      : ParameterServer<T, B>(comm, {.delay = o.delay, .mean = true, .steps_alone = false}), options_(o) {}
  std::string_view name() const override { return "bounded_delay"; }

 protected:
  std::string settings() const override { return cat("bounded_delay ", options_.delay); }

 private:
  BoundedDelayOptions options_;
};

}  // namespace crema::inline CREMA_ABI
