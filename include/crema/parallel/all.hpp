// SPDX-License-Identifier: Apache-2.0
// make_strategy: the strategy that a name and its numbers ask for, as command lines give them.
//
//   auto strategy = make_strategy<float, Cpu>(comm, {.name = "easgd", .tau = 8});
//   Job<float, Cpu> job(cpu, spec, layers, {.shards = shards_of(comm, "easgd")}, std::move(strategy));
#pragma once

#include "crema/data/sample_order.hpp"
#include "crema/parallel/bounded_delay.hpp"
#include "crema/parallel/downpour.hpp"
#include "crema/parallel/elastic_averaging.hpp"
#include "crema/parallel/local_sgd.hpp"
#include "crema/parallel/synchronous.hpp"

namespace crema::inline CREMA_ABI {

struct StrategyOptions {
  std::string name = "synchronous";  // or local_sgd, easgd, eamsgd, downpour, bounded_delay
  int tau = 4;                       // local_sgd, easgd, eamsgd: steps between meetings
  std::int64_t local_from = 0;       // local_sgd: meets at every step until then
  double alpha = -1;                 // easgd, eamsgd: moving rate; below 0: 0.9 / ranks
  int n_fetch = 1, n_push = 1;       // downpour
  std::int64_t delay = 1;            // bounded_delay
  bool bfloat16 = false;             // synchronous: gradients travel as bfloat16
};

/// Throws SpecError for a name that there is not, and as the strategies do.
template <class T, class B>
std::unique_ptr<Strategy<T, B>> make_strategy(Communicator& comm, const StrategyOptions& o) {
  if (o.name == "synchronous")
    return std::make_unique<Synchronous<T, B>>(comm, SynchronousOptions{.bfloat16 = o.bfloat16});
  if (o.name == "local_sgd")
    return std::make_unique<LocalSgd<T, B>>(comm, LocalSgdOptions{o.tau, o.local_from});
  if (o.name == "easgd" || o.name == "eamsgd")
    return std::make_unique<ElasticAveraging<T, B>>(
        comm, ElasticAveragingOptions{.alpha = o.alpha, .tau = o.tau, .eamsgd = o.name == "eamsgd"});
  if (o.name == "downpour")
    return std::make_unique<Downpour<T, B>>(comm, DownpourOptions{o.n_fetch, o.n_push});
  if (o.name == "bounded_delay")
    return std::make_unique<BoundedDelay<T, B>>(comm, BoundedDelayOptions{o.delay});
  throw SpecError(cat("no strategy \"", o.name,
                      "\"; there are: synchronous, local_sgd, easgd, eamsgd, downpour, bounded_delay"));
}

/// The shards that this rank serves of `total` (0: one for each rank that trains). A parameter server's rank 0 trains
/// nothing. Throws SpecError when the ranks do not divide the shards.
inline Shards shards_of(const Communicator& comm, std::string_view strategy, int total = 0) {
  const bool served = strategy == "downpour" || strategy == "bounded_delay";
  const int ranks = std::max(1, comm.size() - served), rank = std::max(0, comm.rank() - served);
  if (total == 0) total = ranks;
  if (total < 0 || total % ranks != 0)
    throw SpecError(cat(ranks, " ranks do not divide ", total, " shards of the data: take a multiple"));
  return {total, rank * (total / ranks), total / ranks};
}

}  // namespace crema::inline CREMA_ABI
