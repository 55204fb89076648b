// SPDX-License-Identifier: Apache-2.0
// What the modes of the engine share: the job, its rows, and its nets.
#pragma once

#include <map>

#include "crema/caffe/job.hpp"
#include "crema/comm/world.hpp"
#include "crema/cpu/cpu.hpp"
#include "crema/layers/all.hpp"
#include "host.hpp"
#include "messages.hpp"
#include "streams.hpp"

/// The host's rows as datasets, checked when they are made, shared by the ranks of this process.
class Rows {
 public:
  Rows(const JobOrder& job, const std::vector<RowStream>& streams) : job_(job), streams_(streams) {}
  /// Throws SpecError or DataError.
  std::shared_ptr<const crema::Dataset> open(crema::Phase phase, const crema::RowLayer& layer,
                                             const crema::RowLayer::Top& top);
  /// Whether a data layer took rows.
  bool used() const { return !made_.empty(); }
  crema::HostRows hook() {
    return [this](crema::Phase p, const crema::RowLayer& l, const crema::RowLayer::Top& t) {
      return open(p, l, t);
    };
  }

 private:
  const JobOrder& job_;
  const std::vector<RowStream>& streams_;
  std::map<std::string, std::shared_ptr<const crema::Dataset>> made_;
  std::mutex mutex_;
};

/// The solver with the job's net in place of its own, and snapshots in the engine's folder.
crema::SolverSpec read_job_solver(const JobOrder& job, const std::string& folder);
/// Options of the nets; `rows` outlives them.
crema::JobOptions job_options(const JobOrder& job, const crema::SolverSpec& solver, Rows& rows);
/// The net that is scored: the first test net, or the training net's in phase TEST.
crema::NetSpec scored_net(const crema::SolverSpec& solver, const crema::JobOptions& options);
/// Of a phase; `test` is the test net's number.
crema::NetSelection selection(const crema::SolverSpec& solver, const crema::NetSpec& net, crema::Phase phase,
                              const crema::JobOptions& options, std::size_t test = 0);
/// Throws SpecError for test nets that would deal rows otherwise, DataError unless the streams have the rows that the job says, each where it belongs.
void check_streams(const JobOrder& job, const crema::SolverSpec& solver,
                   const std::vector<RowStream>& streams);
/// How positions are dealt to ranks: position p to rank first + (p / block) % (ranks - first); block 0: all to rank 0.
struct Deal {
  std::int64_t block = 1;
  int first = 0;
};
Deal deal(const JobOrder& job, crema::Phase phase, std::int64_t batch);

void plan(Host& host, const JobOrder& job, const std::string& folder);
/// `listener` is where the others dial rank 0.
void train(Host& host, const JobOrder& job, const std::string& folder, std::vector<RowStream>& streams,
           crema::Listener listener);
/// TEST and FEATURES.
void score(Host& host, const JobOrder& job, const std::string& folder, std::vector<RowStream>& streams);

/// A failure that another engine began; what() names it.
class Witnessed : public crema::CommError {
 public:
  using CommError::CommError;
};
/// The world did not form.
class NoWorld : public crema::CommError {
 public:
  using CommError::CommError;
};
