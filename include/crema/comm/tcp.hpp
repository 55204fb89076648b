// SPDX-License-Identifier: Apache-2.0
// TcpCommunicator: a Communicator over a World's TCP links; needs nothing but the system.
//
//   World world(options);   Communicator& comm = world.communicator();
//
// Collectives run one after the other, in the order they were started; messages run beside them. Nothing moves
// but in calls: start_...(), progress(), done(), probe() and wait(). A wait looks again and again for 50 us and
// then sleeps in poll(). Sums: see tcp_collective.hpp for their order.
// A rank that is lost is named at once, by the world's control connections if not by its own links.
#pragma once

#include <deque>
#include <map>
#include <vector>

#include "crema/comm/tcp_collective.hpp"
#include "crema/comm/tcp_messages.hpp"
#include "crema/comm/world_communicator.hpp"

namespace crema::inline CREMA_ABI {

class TcpCommunicator final : public WorldCommunicator {
 public:
  /// Links to all ranks, the own place empty, one for collectives and one for messages. `control` outlives it,
  /// and may be null where there is one rank.
  TcpCommunicator(int own_rank, int ranks, double seconds, std::vector<detail::Descriptor> collectives,
                  std::vector<detail::Descriptor> messages, detail::Control* control)
      : WorldCommunicator(own_rank, ranks, seconds, control),
        links_(std::move(collectives)),
        messages_(own_rank, sized(std::move(messages), ranks)) {
    links_ = sized(std::move(links_), ranks);
  }

  std::string_view name() const noexcept override { return "tcp"; }

  std::optional<Incoming> probe(int from, int tag) override {
    check_message(from, tag);
    guarded([&] { advance(); });
    return messages_.probe(from, tag);
  }
  Ticket start(Operation op) override {
    const std::uint64_t id = ++last_ticket_;
    guarded([&] {
      pending_.emplace(id, op);
      if (op.is_message())
        messages_.start(op, id);
      else
        queue_.push_back({id, ++last_collective_});
      turn();
    });
    return Ticket(id);
  }
  void progress() override {
    guarded([&] { advance(); });
  }
  bool done(Ticket t) override {
    guarded([&] { advance(); });
    return !pending_.contains(t.id());
  }
  void wait(Ticket t, double seconds) override {
    guarded([&] {
      const Deadline deadline(seconds);
      double idle_since = monotonic_seconds();
      while (pending_.contains(t.id())) {
        const bool moved = turn();
        if (!pending_.contains(t.id())) return;
        if (deadline.over()) throw CommError(late_text(t, seconds));
        const double now = monotonic_seconds();
        if (moved)
          idle_since = now;
        else if (now - idle_since > spin_seconds)
          sleep(deadline.left());
        check_failure();
      }
    });
  }

 private:
  static constexpr double spin_seconds = 50e-6;
  static constexpr int most_turns = 32;  // of 256 KB to and from each peer: some ms

  static std::vector<detail::Descriptor> sized(std::vector<detail::Descriptor> links, int ranks) {
    links.resize(static_cast<std::size_t>(ranks));
    return links;
  }

  /// As everywhere, and a lost link is what a witness saw.
  template <class F>
  void guarded(F&& f) {
    WorldCommunicator::guarded([&] {
      try {
        f();
      } catch (const detail::LostRank& lost) {
        const std::string during = running_ ? cat(" during ", running_->text()) : std::string();
        throw detail::Witnessed{cat("rank ", lost.rank, " was lost: ", lost.why, during)};
      }
    });
  }
  /// As far as it goes, but not a whole transfer of a fast peer's: whoever calls progress() has something to do.
  void advance() {
    for (int turns = 0; turns < most_turns && turn(); ++turns) {
    }
  }
  /// One round over all links; whether anything went.
  bool turn() {
    bool moved = false;
    if (!running_ && !queue_.empty()) {
      const auto& [id, number] = queue_.front();
      running_ = std::make_unique<detail::TcpCollective>(rank(), links_, pending_.at(id), number);
    }
    if (running_) {
      moved = running_->advance();
      if (running_->complete()) {
        running_.reset();
        pending_.erase(queue_.front().ticket);
        queue_.pop_front();
        moved = true;
      }
    }
    if (moved && running_) return true;  // messages take their turn when the collective has to wait
    moved |= messages_.advance();
    for (const std::uint64_t id : messages_.take_finished()) pending_.erase(id);
    return moved;
  }
  void sleep(double most) {
    polls_.clear();
    polls_.push_back({wake_fd(), POLLIN, 0});
    if (running_) running_->add_polls(polls_);
    messages_.add_polls(polls_);
    detail::poll_for(polls_.data(), polls_.size(), most);
  }
  std::string late_text(Ticket t, double seconds) const {
    const Operation& op = pending_.at(t.id());
    if (op.is_message()) return late_message_text(op, seconds);
    const std::string who = running_ ? running_->waits_for() : "",  // nobody: numbers come, and not in time
        call = running_ ? running_->text() : detail::call_text(op);
    return cat(who.empty() ? call + " did not end" : cat(who, " did not do its part of ", call), " within ",
               seconds, " s (rank ", rank(), " waited)");
  }

  struct Queued {
    std::uint64_t ticket;
    std::uint32_t number;
  };

  std::vector<detail::Descriptor> links_;
  detail::TcpMessages messages_;
  std::map<std::uint64_t, Operation> pending_;  // with what keeps their memory
  std::deque<Queued> queue_;                    // collectives, the running one first
  std::unique_ptr<detail::TcpCollective> running_;
  std::vector<pollfd> polls_;
  std::uint64_t last_ticket_ = 0;
  std::uint32_t last_collective_ = 0;
};

}  // namespace crema
