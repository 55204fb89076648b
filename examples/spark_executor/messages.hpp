// SPDX-License-Identifier: Apache-2.0
// What the host tells the engine: one message for each line, in protobuf's text format (docs/spark_protocol.md).
//
//   JobOrder job = parse_order<JobOrder>("mode: TRAIN solver: \"solver.prototxt\"");
#pragma once

#include "crema/parallel/all.hpp"
#include "crema/spec/text_format.hpp"

enum class Mode : std::uint8_t { plan, train, test, features, verify };
enum class Connection : std::uint8_t { tcp, mpi };
constexpr std::string_view enum_names(Mode) { return "PLAN=0,TRAIN=1,TEST=2,FEATURES=3,VERIFY=4"; }
constexpr std::string_view enum_names(Connection) { return "TCP=0,MPI=1"; }

/// A stream of rows that will come.
struct StreamOrder {
  crema::Phase phase = crema::Phase::train;
  std::int64_t rows = -1, total = 0;  // of this engine (-1: the host does not know), of all
  crema::Message other = {};
  friend bool operator==(const StreamOrder&, const StreamOrder&) = default;
};

struct JobOrder {
  Mode mode = Mode::plan;
  std::string solver = {}, net = {}, state = {};
  std::vector<std::string> weights = {}, data_root = {}, feature = {}, gpu = {};
  int rank = 0, size = 1, ranks_here = 1, threads = 0;
  std::optional<std::int64_t> seed = {};
  bool resize = false;
  std::vector<StreamOrder> stream = {};
  double deadline = 30, silence = 10, timeout = 60, progress = 1;
  std::string strategy = "synchronous";
  int tau = 4, n_fetch = 1, n_push = 1;
  std::int64_t local_from = 0, delay = 1;
  double alpha = -1;
  bool bfloat16 = false;

  int ranks() const { return size * ranks_here; }
  crema::StrategyOptions strategy_options() const {
    return {strategy, tau, local_from, alpha, n_fetch, n_push, delay, bfloat16};
  }
  /// A parameter server's rank 0 takes no rows to train on, and tests alone.
  bool served() const { return strategy == "downpour" || strategy == "bounded_delay"; }
  const StreamOrder* rows_of(crema::Phase phase) const {
    for (const StreamOrder& s : stream)
      if (s.phase == phase) return &s;
    return nullptr;
  }
};

struct WorldOrder {
  std::string address = {}, secret = {};
  Connection connection = Connection::tcp;
};

namespace crema::inline CREMA_ABI {
template <>
inline const Schema& schema<StreamOrder>() {
  using M = StreamOrder;
  static const Schema s{
      "stream", {field(1, "phase", &M::phase), field(2, "rows", &M::rows), field(3, "total", &M::total)}};
  return s;
}
template <>
inline const Schema& schema<JobOrder>() {
  using M = JobOrder;
  static const Schema s{"job",
                        {field(1, "mode", &M::mode),
                         field(2, "solver", &M::solver),
                         field(3, "net", &M::net),
                         field(4, "state", &M::state),
                         field(5, "weights", &M::weights),
                         field(6, "data_root", &M::data_root),
                         field(7, "feature", &M::feature),
                         field(8, "gpu", &M::gpu),
                         field(9, "rank", &M::rank),
                         field(10, "size", &M::size),
                         field(11, "ranks_here", &M::ranks_here),
                         field(12, "threads", &M::threads),
                         field(13, "seed", &M::seed),
                         field(14, "resize", &M::resize),
                         field(15, "stream", &M::stream),
                         field(16, "deadline", &M::deadline),
                         field(17, "silence", &M::silence),
                         field(18, "timeout", &M::timeout),
                         field(19, "progress", &M::progress),
                         field(20, "strategy", &M::strategy),
                         field(21, "tau", &M::tau),
                         field(22, "n_fetch", &M::n_fetch),
                         field(23, "n_push", &M::n_push),
                         field(24, "local_from", &M::local_from),
                         field(25, "delay", &M::delay),
                         field(26, "alpha", &M::alpha),
                         field(27, "bfloat16", &M::bfloat16)}};
  return s;
}
template <>
inline const Schema& schema<WorldOrder>() {
  using M = WorldOrder;
  static const Schema s{"world",
                        {field(1, "address", &M::address), field(2, "secret", &M::secret),
                         field(3, "connection", &M::connection)}};
  return s;
}
}  // namespace crema

/// Throws ParseError that names the order and the column.
template <class Order>
Order parse_order(std::string_view text) {
  const crema::Schema& s = crema::schema<Order>();
  return crema::from_message<Order>(crema::parse_text(text, s, s.name));
}
