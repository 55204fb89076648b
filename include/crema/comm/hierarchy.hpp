// SPDX-License-Identifier: Apache-2.0
// HierarchicalCommunicator: ranks that are threads of several processes, over any communicator between the processes.
//
//   HierarchicalWorld ranks(mpi_world.communicator(), 2);           // 2 ranks in each process
//   ranks.run([&](Communicator& comm) { train(comm); });            // rank = process * 2 + thread
//
// A collective has three stages: inward (the threads' numbers come together at the first rank of the process, in shared
// memory), between the first ranks of the processes, and outward to the threads; those of several calls overlap. So
// each number crosses the network once per process. Sums are ((x_0 + x_1) + ...) within a process, then as the
// communicator between the processes adds. Messages between processes pass through the first ranks, which move them on
// in their own calls. A part that a rank owns (part_of) is the same as in a flat world.
//
// Only the first rank of a process uses the communicator between processes, so that any thread level of MPI will do.
// In errors "between processes: rank 1" is a process; all other ranks are threads, by their number among all.
#pragma once

#include "crema/comm/socket.hpp"
#include "crema/comm/threads.hpp"

namespace crema::inline CREMA_ABI {

namespace detail {

/// A message to or from another process, for the first rank to carry.
struct RemoteMessage {
  Operation op;  // as between the processes
  Ticket ticket = {};
  bool started = false, done = false;
};
/// A rank that would like to know whether a message has come.
struct Interest {
  int local, from, tag;
  std::optional<Incoming> found = {};
};

/// What the ranks of one process share.
struct ProcessRanks {
  ProcessRanks(int ranks_here, const Communicator& outer)
      : here(ranks_here),
        process(outer.rank()),
        processes(outer.size()),
        most_tag(outer.most_tag() / here / here - 1),
        inward(team(TeamShare::inward)),
        outward(team(TeamShare::outward)) {}

  const int here, process, processes, most_tag;
  const std::shared_ptr<ThreadTeam> inward, outward;
  std::mutex carrying;  // held while the first rank works between the processes
  std::mutex mutex;     // over what follows
  std::list<std::shared_ptr<RemoteMessage>> messages;
  std::list<Interest> interests;

 private:
  std::shared_ptr<ThreadTeam> team(TeamShare::Way way) const {
    return std::make_shared<ThreadTeam>(here, TeamShare{way, process * here, processes * here});
  }
};

}  // namespace detail

class HierarchicalCommunicator final : public Communicator {
 public:
  /// `outer` connects the processes; it is for the first rank of each, and null for the others.
  HierarchicalCommunicator(std::shared_ptr<detail::ProcessRanks> ranks, int local, double timeout,
                           Communicator* outer)
      : Communicator(ranks->process * ranks->here + local, ranks->processes * ranks->here, timeout),
        ranks_(std::move(ranks)),
        local_(local),
        outer_(outer),
        inward_(ranks_->inward, local, timeout),
        outward_(ranks_->outward, local, timeout) {
    limit_tags(ranks_->most_tag);
  }
  std::string_view name() const noexcept override { return "hierarchical"; }

  std::optional<Incoming> probe(int from, int tag) override {
    check_message(from, tag);
    std::optional<Incoming> found;
    guarded([&] {
      advance();
      const bool here = from == any_rank || process_of(from) == ranks_->process;
      if (here) found = inward_.probe(from == any_rank ? from : from % ranks_->here, tag);
      if (found) found->from += ranks_->process * ranks_->here;
      if (!found && (from == any_rank || !here)) found = probe_remote(from, tag);
    });
    return found;
  }
  Ticket start(Operation op) override {
    const std::uint64_t id = ++last_ticket_;
    guarded([&] {
      drop_ended();
      Running& r = pending_[id];
      r.op = op;
      op.keep = {};
      if (op.is_message() && process_of(op.peer) == ranks_->process) {
        op.peer %= ranks_->here;
        r.inward = inward_.start(op);
      } else if (op.is_message()) {
        hand_over(r, op);
      } else {
        r.inward = inward_.start(op);
        if (outer_)
          queue_.push_back(id);
        else
          r.outward = outward_.start(op), r.last_stage = true;
      }
      advance();
    });
    return Ticket(id);
  }

  void progress() override {
    guarded([&] { advance(), drop_ended(); });
  }
  bool done(Ticket t) override {
    bool ended = false;
    guarded([&] { ended = finished(t); });
    return ended;
  }
  void wait(Ticket t, double seconds) override {
    guarded([&] {
      const auto at = pending_.find(t.id());
      if (at == pending_.end()) return;
      const double eager = 2e-4 + 1e-9 * static_cast<double>(at->second.op.bytes());
      const auto ended = [&] { return finished(t); };
      if (wait_for_team(ended, seconds, eager)) return;
      // Who waits inside the process knows the name of the late rank; the others let it speak first.
      if (ranks_->here > 1 && between_processes(t) && wait_for_team(ended, 2, 0)) return;
      throw CommError(late_text(t, seconds));
    });
  }

  void fail(const std::string& why) noexcept override {
    try {
      break_all(cat("rank ", rank(), ": ", why));
    } catch (...) {  // no memory for the words
    }
    settle();
  }
  std::string failure() const override { return ranks_->inward->failure(); }

  /// After a rank's last call: the first rank of a process goes on carrying until all of the process have come here.
  void end() {
    guarded([&] {
      const Ticket all = inward_.start_barrier();
      if (outer_ && !wait_for_team([&] { return advance(), inward_.done(all); }, timeout(), 0))
        throw CommError(detail::late_call_text(ranks_->inward->missing_in_oldest(), "the end",
                                               cat("rank ", rank()), timeout()));
    });
  }

 private:
  struct Running {
    Operation op = {};
    Ticket inward = {}, outer = {},
           outward = {};  // stages of a collective; inward also a message within the process
    bool in_outer = false, last_stage = false;
    std::shared_ptr<detail::RemoteMessage> remote = {};
  };

  int process_of(int r) const { return r / ranks_->here; }

  template <class F>
  void guarded(F&& f) {
    check();
    try {
      f();
      return;
    } catch (const CommError& e) {
      break_all(e.message());
    }
    check();
  }
  void check() {
    const std::string why = failure();
    if (why.empty()) return;
    break_all(why);  // on the first rank: for the other processes
    settle();
    throw CommError(why);
  }
  /// Until nobody works on this rank's memory any more.
  void settle() {
    const std::lock_guard lock(ranks_->carrying);
    ranks_->inward->settle(), ranks_->outward->settle();
  }
  void break_all(const std::string& why) {
    ranks_->inward->fail(local_, why);
    const std::string first = failure();
    ranks_->outward->fail(local_, first);
    if (outer_ && outer_->failure().empty()) outer_->fail(first);
  }
  template <class F>
  bool wait_for_team(F&& ended, double seconds, double eager) {
    return detail::wait_with_naps(
        [&] {
          if (!failure().empty()) throw CommError(failure());
          return ended();
        },
        Deadline(seconds), -1, eager);
  }

  bool finished(Ticket t) {
    advance();
    const auto at = pending_.find(t.id());
    if (at == pending_.end()) return true;
    if (!ended(at->second)) return false;
    pending_.erase(at);
    return true;
  }
  bool ended(const Running& r) {
    if (!r.op.is_message()) return r.last_stage && outward_.done(r.outward);
    if (!r.remote) return inward_.done(r.inward);
    const std::lock_guard lock(ranks_->mutex);
    return r.remote->done;
  }
  void drop_ended() {
    std::erase_if(pending_, [this](const auto& p) { return ended(p.second); });
  }
  void advance() {
    inward_.progress();
    outward_.progress();
    if (outer_) lead();
  }

  // --- the first rank of a process: collectives from stage to stage, in the order of their start

  void lead() {
    const std::lock_guard lock(ranks_->carrying);
    if (!failure().empty()) return;
    try {
      outer_->progress();
      for (const std::uint64_t id : queue_)
        if (Running& r = pending_.at(id); !r.in_outer && !start_outer(r)) break;
      while (!queue_.empty()) {
        Running& r = pending_.at(queue_.front());
        if (!r.in_outer || !outer_->done(r.outer)) break;
        Operation op = r.op;
        op.keep = {};
        r.outward = outward_.start(op), r.last_stage = true;
        queue_.pop_front();
      }
      carry();
    } catch (const CommError& e) {
      if (outer_->failure().empty()) throw;
      throw CommError(cat("between processes: ", e.message()));
    }
  }
  bool start_outer(Running& r) {
    if (!inward_.done(r.inward)) return false;
    Operation op = r.op;
    if (op.kind == Operation::broadcast) op.peer = process_of(op.peer);
    r.outer = outer_->start(op);
    return r.in_outer = true;
  }

  // --- messages between processes

  /// The tag between the processes tells the threads apart.
  int outer_tag(int tag, int from, int to) const { return (tag * ranks_->here + from) * ranks_->here + to; }

  void hand_over(Running& r, Operation op) {
    const int there = op.peer % ranks_->here;
    const bool out = op.kind == Operation::send;
    op.peer = process_of(op.peer);
    op.tag = outer_tag(op.tag, out ? local_ : there, out ? there : local_);
    op.keep = r.op.keep;
    r.remote = std::make_shared<detail::RemoteMessage>(detail::RemoteMessage{std::move(op)});
    const std::lock_guard lock(ranks_->mutex);
    // What was found may be what this takes: it is looked for anew.
    if (!out) ranks_->interests.remove_if([&](const detail::Interest& i) { return i.local == local_; });
    ranks_->messages.push_back(r.remote);
  }
  /// What the first rank has found since this was asked last.
  std::optional<Incoming> probe_remote(int from, int tag) {
    const std::lock_guard lock(ranks_->mutex);
    for (auto i = ranks_->interests.begin(); i != ranks_->interests.end(); ++i)
      if (i->local == local_ && i->from == from && i->tag == tag) {
        if (outer_ && !i->found) look_for(*i);
        const std::optional<Incoming> found = i->found;
        if (found) ranks_->interests.erase(i);
        return found;
      }
    ranks_->interests.push_back({local_, from, tag});
    if (outer_) look_for(ranks_->interests.back());
    const std::optional<Incoming> found = ranks_->interests.back().found;
    if (found) ranks_->interests.pop_back();
    return found;
  }
  void look_for(detail::Interest& i) {
    const int here = ranks_->here;
    for (int thread = 0; thread < here && !i.found; ++thread) {
      if (i.from != any_rank && i.from % here != thread) continue;
      const int process = i.from == any_rank ? any_rank : process_of(i.from);
      const auto found = outer_->probe(process, outer_tag(i.tag, thread, i.local));
      if (found) i.found = Incoming{found->from * here + thread, i.tag, found->bytes};
    }
  }
  void carry() {
    const std::lock_guard lock(ranks_->mutex);
    waiting_.clear();
    ranks_->messages.remove_if([&](const std::shared_ptr<detail::RemoteMessage>& m) {
      if (!m->started && !start_message(*m)) return false;
      m->done = outer_->done(m->ticket);
      return m->done;
    });
    for (detail::Interest& i : ranks_->interests)
      if (!i.found) look_for(i);
  }
  /// A receive starts when its message has come, so that what does not fit is reported by the ranks' own names.
  bool start_message(detail::RemoteMessage& m) {
    if (m.op.kind == Operation::receive) {
      const std::pair key{m.op.peer, m.op.tag};
      const bool later = std::find(waiting_.begin(), waiting_.end(), key) != waiting_.end();
      const auto come = later ? std::nullopt : outer_->probe(m.op.peer, m.op.tag);
      if (!come) {
        waiting_.push_back(key);
        return false;
      }
      const int here = ranks_->here, to = m.op.tag % here, from = m.op.tag / here % here;
      if (come->bytes != m.op.bytes())
        throw CommError(cat("rank ", m.op.peer * here + from, " sent ", come->bytes, " bytes with tag ",
                            m.op.tag / here / here, " where rank ", ranks_->process * here + to, " receives ",
                            m.op.bytes(), " bytes"));
    }
    m.ticket = outer_->start(m.op);
    return m.started = true;
  }

  /// Whether it waits for another process.
  bool between_processes(Ticket t) {
    const Running& r = pending_.at(t.id());
    return r.op.is_message() ? r.remote != nullptr : inward_.done(r.inward);
  }
  std::string late_text(Ticket t, double seconds) {
    const Running& r = pending_.at(t.id());
    const std::string own = cat("rank ", rank());
    if (r.op.is_message()) return detail::late_message_text(r.op, cat("rank ", r.op.peer), own, seconds);
    if (outer_ && r.in_outer) say_who_is_late(r.outer);
    const std::string who =
        between_processes(t) ? "some rank of another process" : ranks_->inward->missing_in_oldest();
    return detail::late_call_text(who, detail::call_text(r.op), own, seconds);
  }

  /// Throws what the communicator between the processes knows of it.
  void say_who_is_late(Ticket outer) {
    const std::lock_guard lock(ranks_->carrying);
    try {
      outer_->wait(outer, 0);
    } catch (const CommError& e) {
      throw CommError(cat("between processes: ", e.message()));
    }
  }

  std::shared_ptr<detail::ProcessRanks> ranks_;
  const int local_;
  Communicator* const outer_;
  ThreadCommunicator inward_, outward_;
  std::map<std::uint64_t, Running> pending_;
  std::deque<std::uint64_t> queue_;  // of the first rank: collectives that are not in their last stage
  std::vector<std::pair<int, int>> waiting_;  // (process, tag) of receives whose message has not come
  std::uint64_t last_ticket_ = 0;
};

/// The ranks of this process among those of all.
class HierarchicalWorld {
 public:
  /// `outer` connects the processes and outlives this; `ranks_here` is the same in all of them.
  HierarchicalWorld(Communicator& outer, int ranks_here) {
    if (ranks_here < 1) throw SpecError(cat("a process has 1 rank or more, not ", ranks_here));
    std::int64_t count[2] = {ranks_here, -ranks_here};
    outer.all_reduce(std::span<std::int64_t>(count), Reduction::max);
    if (count[0] != -count[1]) {
      const std::string why =
          cat("processes with ", -count[1], " to ", count[0], " ranks: give all the same number");
      outer.fail(why);
      throw CommError(why);
    }
    shared_ = std::make_shared<detail::ProcessRanks>(ranks_here, outer);
    for (int r = 0; r < ranks_here; ++r)
      ranks_.push_back(
          std::make_unique<HierarchicalCommunicator>(shared_, r, outer.timeout(), r == 0 ? &outer : nullptr));
  }

  /// body(communicator) on every rank of this process, the first on the calling thread, which is the one that may use
  /// `outer`; returns when all have. Of several exceptions the one that began it is rethrown.
  template <class F>
  void run(F&& body) {
    auto to_the_end = [&](Communicator& comm) {
      body(comm);
      static_cast<HierarchicalCommunicator&>(comm).end();
    };
    detail::run_ranks(ranks_, *shared_->inward, to_the_end);
  }

 private:
  std::shared_ptr<detail::ProcessRanks> shared_;
  std::vector<std::unique_ptr<HierarchicalCommunicator>> ranks_;
};

}  // namespace crema
