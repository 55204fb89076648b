// SPDX-License-Identifier: Apache-2.0
// TcpCommunicator: a Communicator over a World's TCP links; needs nothing but the system.
//
//   World world(options);   Communicator& comm = world.communicator();
//
// Collectives run one after the other, in the order they were started; messages run beside them. A wait looks again
// and again for 50 us and then sleeps in poll(). From progress() on, a thread of the communicator's own moves what was
// started while the caller computes; it sleeps when nothing can move. Sums: see tcp_collective.hpp for their order.
// A rank that is lost is named at once, by the world's control connections if not by its own links.
#pragma once

#include <sched.h>

#include <atomic>
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
    if (ranks > 1)
      thread_ = detail::ServiceThread(
          this, +[](TcpCommunicator& c) { c.work(); }, "the communicator");
  }
  ~TcpCommunicator() override {
    {
      const Call lock(*this);
      stop_ = true;
    }
    poke_.set();
    thread_.join();
  }

  std::string_view name() const noexcept override { return "tcp"; }

  std::optional<Incoming> probe(int from, int tag) override {
    check_sender(from);
    const Call lock(*this);
    guarded([&] { advance(); });
    return messages_.probe(from, tag);
  }
  Ticket start(Operation op) override {
    const Call lock(*this);
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
    if (!mutex_.try_lock()) return;  // the thread is at it
    const detail::Locked lock = detail::Locked::adopt(mutex_);
    guarded([&] { advance(); });
    in_background_ = !pending_.empty();
    if (in_background_ && std::exchange(asleep_, false)) poke_.set();
  }
  bool done(Ticket t) override {
    const Call lock(*this);
    guarded([&] { advance(); });
    return !pending_.contains(t.id());
  }
  void wait(Ticket t, double seconds) override {
    const Call lock(*this);
    guarded([&] {
      const Deadline deadline(seconds);
      double idle_since = monotonic_seconds();
      while (pending_.contains(t.id())) {
        if (turn()) {
          idle_since = monotonic_seconds();
        } else if (monotonic_seconds() - idle_since > spin_seconds) {
          if (!pending_.contains(t.id())) return;
          if (deadline.over()) throw CommError(late_text(t, seconds));
          sleep(deadline.left());
        }
        check_failure();
      }
    });
  }
  void fail(const std::string& why) noexcept override {
    const Call lock(*this);
    WorldCommunicator::fail(why);
  }
  std::string failure() const override {
    const Call lock(*this);
    return WorldCommunicator::failure();
  }

 private:
  static constexpr double spin_seconds = 50e-6;

  /// The caller's lock.
  class Call {
   public:
    explicit Call(const TcpCommunicator& c) : lock_(take(c)) {}

   private:
    static detail::Locked take(const TcpCommunicator& c) {
      ++c.callers_;
      c.mutex_.lock();
      --c.callers_;
      return detail::Locked::adopt(c.mutex_);
    }
    const detail::Locked lock_;
  };

  static std::vector<detail::Descriptor> sized(std::vector<detail::Descriptor> links, int ranks) {
    links.resize(static_cast<std::size_t>(ranks));
    return links;
  }

  void advance() {
    while (turn()) {
    }
  }
  /// One round over all links; whether anything went.
  bool turn() {
    try {
      return turn_links();
    } catch (const detail::LostRank& lost) {
      const std::string during = running_ ? cat(" during ", running_->text()) : std::string();
      throw detail::Witnessed{cat("rank ", lost.rank, " was lost: ", lost.why, during)};
    }
  }
  bool turn_links() {
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
    add_polls(polls_);
    detail::poll_for(polls_.data(), polls_.size(), most);
  }
  void add_polls(std::vector<pollfd>& fds) const {
    fds.push_back({wake_fd(), POLLIN, 0});
    if (running_) running_->add_polls(fds);
    messages_.add_polls(fds);
  }

  /// The thread: one turn for each lock, and callers first.
  void work() noexcept {
    std::vector<pollfd> fds;
    for (;;) {
      while (callers_.load() > 0) ::sched_yield();
      {
        const detail::Locked lock(mutex_);
        if (stop_) return;
        if (in_background_ && turn_in_background()) continue;
        fds.assign(1, {poke_.fd(), POLLIN, 0});
        if (in_background_) add_polls(fds);
        asleep_ = true;
      }
      detail::poll_for(fds.data(), fds.size(), 3600);
      if (fds[0].revents != 0) poke_.clear();
    }
  }
  /// Whether anything went.
  bool turn_in_background() noexcept {
    bool moved = false;
    try {
      guarded([&] { moved = turn(); });
      in_background_ = !pending_.empty();
    } catch (const std::exception&) {  // the caller's next call throws it
      in_background_ = false;
    }
    return moved;
  }
  std::string late_text(Ticket t, double seconds) const {
    const Operation& op = pending_.at(t.id());
    if (op.is_message()) return late_message_text(op, seconds);
    return cat(running_->waits_for(), " did not do its part of ", running_->text(), " within ", seconds,
               " s (rank ", rank(), " waited)");
  }

  struct Queued {
    std::uint64_t ticket;
    std::uint32_t number;
  };

  mutable std::atomic<int> callers_{0};  // who waits for the lock
  mutable detail::Mutex mutex_;          // over all that follows
  bool in_background_ = false, asleep_ = false, stop_ = false;
  std::vector<detail::Descriptor> links_;
  detail::TcpMessages messages_;
  std::map<std::uint64_t, Operation> pending_;  // with what keeps their memory
  std::deque<Queued> queue_;                    // collectives, the running one first
  std::unique_ptr<detail::TcpCollective> running_;
  std::vector<pollfd> polls_;
  std::uint64_t last_ticket_ = 0;
  std::uint32_t last_collective_ = 0;
  detail::Wake poke_;
  detail::ServiceThread thread_;
};

}  // namespace crema
