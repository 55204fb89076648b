// SPDX-License-Identifier: Apache-2.0
// ThreadCommunicator: the ranks of one process, reducing directly in each other's memory. ThreadWorld starts them.
//
//   ThreadWorld world(4);
//   world.run([&](Communicator& comm) { train(comm); });     // on 4 threads, the caller's among them
//
// Sums are ((x_0 + x_1) + x_2) + ..., bfloat16 sums are rounded once. A call that does not match those of the other
// ranks is an error on all of them. A host with threads of its own takes world.communicator(rank) to each.
#pragma once

#include <limits>

#include "crema/comm/thread_team.hpp"

namespace crema::inline CREMA_ABI {

class ThreadCommunicator : public Communicator {
 public:
  ThreadCommunicator(std::shared_ptr<detail::ThreadTeam> team, int own_rank, double timeout)
      : Communicator(own_rank, team->ranks(), timeout), team_(std::move(team)) {}
  /// What was started and has not ended ends in failure for the others: its memory may go now.
  ~ThreadCommunicator() override {
    drop_ended();
    if (!pending_.empty())
      team_->fail(rank(), cat(team_->rank_name(rank()), " left before what it had started was done"));
    team_->settle();
  }
  std::string_view name() const noexcept override { return "threads"; }

  std::optional<Incoming> probe(int from, int tag) override {
    check_message(from, tag);
    check();
    receive_what_came();
    const std::lock_guard lock(team_->mutex());
    for (const detail::ThreadMessage& m : team_->inbox(rank()))
      if (!m.taken && (from == any_rank || m.from == from) && m.call.tag == tag)
        return Incoming{m.from, tag, m.call.bytes()};
    return {};
  }

  void progress() override {
    check();
    advance();
    drop_ended();
  }
  bool done(Ticket t) override {
    check();
    advance();
    return finished(t);
  }
  void wait(Ticket t, double seconds) override {
    check();
    const double end = monotonic_seconds() + seconds;
    while (!finished(t)) {
      const std::uint32_t seen = team_->event().now();
      const bool moved = advance(end);
      if (finished(t)) return;
      if (monotonic_seconds() >= end) broken(late_text(t, seconds));
      if (!moved) team_->event().wait(seen, end);
      check();
    }
  }
  void fail(const std::string& why) noexcept override {
    try {
      team_->fail(rank(), cat(team_->rank_name(rank()), ": ", why));
    } catch (...) {  // no memory for the words
    }
    team_->settle();
  }
  std::string failure() const override { return team_->failure(); }

  Ticket start(Operation op) override {
    check();
    drop_ended();
    const std::uint64_t id = ++last_ticket_;
    Started& s = pending_[id];
    s.op = std::move(op);
    if (s.op.kind == Operation::send)
      send(id, s);
    else if (s.op.kind == Operation::receive)
      receive_what_came();
    else
      s.number = team_->join(rank(), s.op);
    check();
    return Ticket(id);
  }

 private:
  struct Started {
    Operation op;
    std::uint64_t number = 0;  // of a collective
    bool done = false;         // of a message
  };

  /// Throws the failure, when nobody works on this rank's memory any more.
  void check() {
    if (!team_->broken()) return;
    team_->settle();
    throw CommError(team_->failure());
  }
  [[noreturn]] void broken(const std::string& why) {
    team_->fail(rank(), why);
    team_->settle();
    throw CommError(team_->failure());
  }

  bool finished(Ticket t) {
    const auto at = pending_.find(t.id());
    if (at == pending_.end()) return true;
    if (!ended(*at)) return false;
    pending_.erase(at);
    return true;
  }
  bool ended(const std::pair<const std::uint64_t, Started>& p) {
    return p.second.op.is_message() ? message_done(p.first, p.second) : team_->finished(p.second.number);
  }
  /// Lets go of what has ended and nobody has asked for.
  void drop_ended() {
    std::erase_if(pending_, [this](const auto& p) { return ended(p); });
  }
  bool advance(double end = std::numeric_limits<double>::infinity()) {
    bool moved = receive_what_came();
    while (team_->work(end)) moved = true;
    return moved;
  }

  // --- messages: small ones are copied at once, large ones by the receiver from the sender's memory

  void send(std::uint64_t id, Started& s) {
    constexpr std::size_t at_once = 65536;
    const std::size_t bytes = s.op.bytes();
    detail::ThreadMessage m{rank(), id, s.op, {}};
    m.call.keep = {};
    if (bytes <= at_once) {
      const auto* data = static_cast<const std::byte*>(s.op.data);
      m.copy.assign(data, data + bytes), m.ticket = 0, s.done = true;
    }
    {
      const std::lock_guard lock(team_->mutex());
      team_->inbox(s.op.peer).push_back(std::move(m));
    }
    team_->event().happen();
  }
  /// A send is done when its message has left the receiver's inbox.
  bool message_done(std::uint64_t id, const Started& s) {
    if (s.done || s.op.kind == Operation::receive) return s.done;
    const std::lock_guard lock(team_->mutex());
    for (const detail::ThreadMessage& m : team_->inbox(s.op.peer))
      if (m.from == rank() && m.ticket == id) return false;
    return true;
  }
  bool receive_what_came() {
    matches_.clear();
    {
      const std::lock_guard lock(team_->mutex());
      if (team_->broken()) return false;
      for (auto& [id, s] : pending_) {  // all under one lock: a message that comes meanwhile overtakes nobody
        if (s.op.kind != Operation::receive || s.done) continue;
        for (detail::ThreadMessage& m : team_->inbox(rank()))
          if (!m.taken && m.from == s.op.peer && m.call.tag == s.op.tag) {
            m.taken = true;
            matches_.push_back({&s, &m});
            team_->working().fetch_add(1);  // the sender's memory stays until this is over
            break;
          }
      }
    }
    std::string wrong;
    for (const Match& match : matches_) {
      Started* const s = match.receive;
      const detail::ThreadMessage* const m = match.message;
      const Operation &want = s->op, &sent = m->call;
      if (sent.count != want.count || sent.type != want.type)
        wrong = cat(team_->rank_name(want.peer), " sent ",
                    detail::elements_text(sent.count, static_cast<std::uint8_t>(sent.type)), " with tag ",
                    want.tag, " where ", team_->rank_name(rank()), " receives ",
                    detail::elements_text(want.count, static_cast<std::uint8_t>(want.type)));
      else if (want.count > 0)
        std::memmove(want.data, m->ticket == 0 ? m->copy.data() : sent.data, want.count * size_of(want.type));
      s->done = true;
      {
        const std::lock_guard lock(team_->mutex());
        team_->inbox(rank()).remove_if([&](const detail::ThreadMessage& one) { return &one == m; });
      }
      team_->working().fetch_sub(1);
    }
    if (!matches_.empty()) team_->event().happen();
    if (!wrong.empty()) broken(wrong);
    return !matches_.empty();
  }

  std::string late_text(Ticket t, double seconds) {
    const Started& s = pending_.at(t.id());
    const std::string own = team_->rank_name(rank());
    if (s.op.is_message()) return detail::late_message_text(s.op, team_->rank_name(s.op.peer), own, seconds);
    return detail::late_call_text(team_->missing(s.number), team_->call(s.number, rank()), own, seconds);
  }

  std::shared_ptr<detail::ThreadTeam> team_;
  struct Match {
    Started* receive;
    detail::ThreadMessage* message;
  };
  std::map<std::uint64_t, Started> pending_;  // with what keeps their memory
  std::vector<Match> matches_;
  std::uint64_t last_ticket_ = 0;
};

namespace detail {

/// body(communicators[r]) for all r, the first on the calling thread; returns when all have. A rank that throws breaks
/// the others' calls; of several exceptions the one that began it, the team's culprit's, is rethrown.
template <class Comm, class F>
void run_ranks(const std::vector<std::unique_ptr<Comm>>& communicators, ThreadTeam& team, F& body) {
  struct Task {
    Communicator* comm;
    F* body;
    std::exception_ptr error;
  };
  std::vector<Task> tasks;
  for (const auto& c : communicators) tasks.push_back({c.get(), &body, nullptr});
  const auto work = [](void* task) -> void* {
    Task& t = *static_cast<Task*>(task);
    try {
      (*t.body)(*t.comm);
    } catch (const std::exception& e) {
      t.error = std::current_exception();
      t.comm->fail(e.what());
    } catch (...) {
      t.error = std::current_exception();
      t.comm->fail("an exception without words");
    }
    return nullptr;
  };
  std::vector<pthread_t> threads;
  int refused = 0;
  for (std::size_t r = 1; r < tasks.size() && refused == 0; ++r) {
    threads.emplace_back();
    refused = pthread_create(&threads.back(), nullptr, work, &tasks[r]);
    if (refused != 0) threads.pop_back();
  }
  if (refused != 0)
    tasks[0].comm->fail(
        cat("the system gives no thread for each of ", tasks.size(), " ranks (error ", refused, ")"));
  work(&tasks[0]);
  for (const pthread_t t : threads) pthread_join(t, nullptr);
  const int culprit = team.culprit();
  if (culprit >= 0 && tasks[static_cast<std::size_t>(culprit)].error)
    std::rethrow_exception(tasks[static_cast<std::size_t>(culprit)].error);
  for (const Task& t : tasks)
    if (t.error) std::rethrow_exception(t.error);
}

}  // namespace detail

/// A world of threads. It may run once, or hand its communicators to the host's own threads.
class ThreadWorld {
 public:
  /// `timeout`: seconds that a wait may take. Throws SpecError for fewer ranks than one.
  explicit ThreadWorld(int ranks, double timeout = 60) {
    if (ranks < 1) throw SpecError(cat("a world has 1 rank or more, not ", ranks));
    team_ = std::make_shared<detail::ThreadTeam>(ranks);
    for (int r = 0; r < ranks; ++r) ranks_.push_back(std::make_unique<ThreadCommunicator>(team_, r, timeout));
  }

  int size() const { return team_->ranks(); }
  Communicator& communicator(int rank) { return *ranks_.at(static_cast<std::size_t>(rank)); }

  /// body(communicator) on every rank, rank 0 on the calling thread; returns when all have. A rank that throws breaks
  /// the others' calls; of several exceptions the one that began it is rethrown.
  template <class F>
  void run(F&& body) {
    detail::run_ranks(ranks_, *team_, body);
  }

 private:
  std::shared_ptr<detail::ThreadTeam> team_;
  std::vector<std::unique_ptr<ThreadCommunicator>> ranks_;
};

}  // namespace crema::inline CREMA_ABI
