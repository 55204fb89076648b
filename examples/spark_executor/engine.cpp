// SPDX-License-Identifier: Apache-2.0
#include "engine.hpp"

using namespace crema;

namespace {

std::string name_of(Phase phase) { return phase == Phase::train ? "TRAIN" : "TEST"; }

const RowStream* find(const std::vector<RowStream>& streams, Phase phase) {
  for (const RowStream& s : streams)
    if (s.phase == phase) return &s;
  return nullptr;
}

}  // namespace

std::shared_ptr<const Dataset> Rows::open(Phase phase, const RowLayer& layer, const RowLayer::Top& top) {
  const std::lock_guard lock(mutex_);
  auto& made = made_[cat(name_of(phase), " ", layer.name, " ", top.format.data)];
  if (made) return made;
  RowFormat format = top.format;
  if (job_.mode == Mode::plan) {  // there are no rows: one of the right shape
    made = std::make_shared<MemoryDataset>(
        format.sample, std::vector<std::uint8_t>(static_cast<std::size_t>(format.sample.size())),
        std::vector<float>(1), layer.name);
    return made;
  }
  const RowStream* const stream = find(streams_, phase);
  if (!stream)
    throw SpecError(cat("there are no rows for phase ", name_of(phase), ": the host has to send a stream"));
  // A net that is scored may lack its labels.
  if (job_.mode == Mode::features && stream->table->column(format.label) < 0) format.label.clear();
  format.resize = job_.resize;
  if (job_.mode == Mode::train) format.total = job_.rows_of(phase)->total;
  made = std::make_shared<RowDataset>(stream->table, format);
  return made;
}

SolverSpec read_job_solver(const JobOrder& job, const std::string& folder) {
  SolverSpec s = read_solver(job.solver);
  if (!job.net.empty()) {
    s.net = job.net;
    s.train_net.reset(), s.net_param.reset(), s.train_net_param.reset();
    s.test_net.clear(), s.test_net_param.clear();
  }
  const std::string name = name_of_file(s.snapshot_prefix);
  s.snapshot_prefix = cat(folder, "/snapshots/", name.empty() ? "snapshot" : name);
  return s;
}

JobOptions job_options(const JobOrder& job, const SolverSpec& solver, Rows& rows) {
  JobOptions o;
  o.data_roots = job.data_root;
  if (job.seed)
    o.seed = static_cast<std::uint64_t>(*job.seed);
  else if (solver.random_seed >= 0)
    o.seed = static_cast<std::uint64_t>(solver.random_seed);
  o.rows = rows.hook();
  return o;
}

NetSpec scored_net(const SolverSpec& solver, const JobOptions& options) {
  if (!solver.test_net_param.empty() || !solver.test_net.empty()) {
    SolverSpec first = solver;
    if (first.test_iter.empty() || first.test_interval == 0)  // it is not tested in training
      first.test_iter.assign(solver.test_net_param.size() + solver.test_net.size(), 1),
          first.test_interval = 1;
    return detail::testing_nets(first, options).front();
  }
  return detail::training_net(solver, options);
}

NetSelection selection(const SolverSpec& solver, const NetSpec& net, Phase phase, const JobOptions& options,
                       std::size_t test) {
  const NetState* state = solver.train_state ? &*solver.train_state : nullptr;
  if (phase == Phase::test) state = test < solver.test_state.size() ? &solver.test_state[test] : nullptr;
  return detail::selection(net, phase, state, options);
}

Deal deal(const JobOrder& job, Phase phase, std::int64_t batch) {
  if (phase == Phase::train) return {1, job.served() ? 1 : 0};
  return {job.served() ? 0 : batch, 0};
}

namespace {

/// The batch in which a net takes the host's rows; `otherwise` for one that takes none.
std::int64_t batch_of(const NetSpec& net, const NetSelection& at, std::int64_t otherwise) {
  for (const LayerSpec& layer : filter(net, at).layers)
    if (is_row_layer(layer) && !row_layer(layer).is_lmdb()) return row_layer(layer).batch;
  return otherwise;
}

void check_stream(const JobOrder& job, const StreamOrder& order, const RowTable& table, const Deal& d) {
  const int dealt = job.ranks() - d.first, from = job.rank * job.ranks_here;
  for (std::int64_t i = 0; i < table.size(); ++i) {
    const std::int64_t p = table.position(i);
    const std::int64_t rank = d.block == 0 ? 0 : d.first + p / d.block % dealt;
    if (p < 0 || p >= order.total || rank < from || rank >= from + job.ranks_here)
      throw DataError(cat("the row at position ", p, " of ", order.total, " is not engine ", job.rank,
                          "'s: it belongs to rank ", rank));
  }
}

}  // namespace

void check_streams(const JobOrder& job, const SolverSpec& solver, const std::vector<RowStream>& streams) {
  for (const StreamOrder& order : job.stream) {
    const RowStream* const stream = find(streams, order.phase);
    const bool any = order.rows < 0 && job.mode != Mode::train;
    if (!stream || (!any && stream->table->size() != order.rows))
      throw DataError(cat(stream ? stream->table->size() : 0, " rows came for phase ", name_of(order.phase),
                          ", ", order.rows, " were announced"));
    if (job.mode != Mode::train) continue;
    Rows none(job, streams);
    const JobOptions o = job_options(job, solver, none);
    const NetSpec net = order.phase == Phase::test ? scored_net(solver, o) : detail::training_net(solver, o);
    const std::int64_t batch = batch_of(net, selection(solver, net, order.phase, o), 1);
    const Deal d = deal(job, order.phase, batch);
    check_stream(job, order, *stream->table, d);
    if (order.phase == Phase::train || d.block == 0 || job.ranks() == 1) continue;
    const std::vector<NetSpec> tests = detail::testing_nets(solver, o);
    for (std::size_t k = 1; k < tests.size(); ++k)
      if (const auto other = batch_of(tests[k], selection(solver, tests[k], order.phase, o, k), batch);
          other != batch)
        throw SpecError(cat("test net ", k, " takes the host's rows in batches of ", other,
                            ", the first in batches of ", batch,
                            ", by which they were dealt to the ranks: give both one batch_size"));
  }
}
