// SPDX-License-Identifier: Apache-2.0
// Control: the thread of a process that keeps its control connections, to learn of a failure at once and to say
// why, whatever the other threads wait for.
//
// Every rank sends rank 0 a beat with its step, once in `beat` seconds, and gets an answer. Rank 0 takes a
// connection that ends without `bye`, silence over `silence` seconds, and, if asked, a step that has not moved
// for `stall` seconds, for a failure of that rank; a rank takes rank 0's silence for one. The first failure that
// rank 0 learns of is the verdict: it is told to all, and all ranks report the same words.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "crema/comm/packet.hpp"
#include "crema/comm/service_thread.hpp"

namespace crema::inline CREMA_ABI::detail {

class Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  ~Mutex() { pthread_mutex_destroy(&mutex_); }
  void lock() { pthread_mutex_lock(&mutex_); }
  void unlock() { pthread_mutex_unlock(&mutex_); }

 private:
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
};
class Locked {
 public:
  explicit Locked(Mutex& m) : mutex_(m) { mutex_.lock(); }
  Locked(const Locked&) = delete;
  ~Locked() { mutex_.unlock(); }

 private:
  Mutex& mutex_;
};

/// The one failure that broke a world; the first wins. Waits include wake() in their poll().
class Failure {
 public:
  void set(std::string text) {
    {
      const Locked lock(mutex_);
      if (!text_.empty()) return;
      text_ = std::move(text);
    }
    happened_.store(true, std::memory_order_release);
    wake_.set();
  }
  bool happened() const noexcept { return happened_.load(std::memory_order_acquire); }
  std::string text() const {
    const Locked lock(mutex_);
    return text_;
  }
  void check() const {
    if (happened()) throw CommError(text());
  }
  const Wake& wake() const { return wake_; }

 private:
  mutable Mutex mutex_;
  std::string text_;
  std::atomic<bool> happened_{false};
  Wake wake_;
};

struct ControlTimes {
  double beat = 1, silence = 10, stall = 0;
};

class Control {
 public:
  /// links: on rank 0 one for each rank (its own is not open), on another rank the one to rank 0.
  Control(int rank, std::vector<PacketLink> links, ControlTimes times)
      : rank_(rank), times_(times), peers_(links.size()) {
    const double now = monotonic_seconds();
    for (std::size_t r = 0; r < links.size(); ++r) {
      peers_[r].link = std::move(links[r]);
      peers_[r].heard = peers_[r].moved = now;
    }
    thread_ = ServiceThread(
        this, +[](Control& c) { c.work(); }, "the control connections");
  }
  Control(const Control&) = delete;
  ~Control() { leave(1); }

  const Failure& failure() const { return failure_; }
  void set_step(std::int64_t step) noexcept { step_.store(step, std::memory_order_relaxed); }

  /// This rank's links stand; waits until those of all ranks do. Throws CommError that names who is not ready.
  void ready_and_wait(const Deadline& deadline) {
    order([](Orders& o) { o.ready = true; });
    if (wait_for(go_.fd(), POLLIN, deadline, &failure_.wake())) return;
    failure_.check();
    std::string missing;
    {
      const Locked lock(mutex_);
      for (std::size_t r = 1; rank_ == 0 && r < peers_.size(); ++r)
        if (!peers_[r].ready) missing += cat(missing.empty() ? "rank " : ", ", r);
    }
    throw CommError(verdict(cat(missing.empty() ? std::string("some rank") : missing,
                                " did not connect to all others within ", deadline.seconds(), " s"),
                            0));
  }

  /// Reports a failure and returns the one that all ranks agree on: what rank 0 has learnt first. `grace`: how
  /// long to wait before, where this rank may have seen only what followed; 0 where it knows for sure.
  std::string verdict(const std::string& suspicion, double grace = 0.5) {
    const auto wait = [&](double seconds) {
      if (!failure_.happened()) wait_for(failure_.wake().fd(), POLLIN, Deadline(seconds), nullptr);
    };
    if (grace > 0) wait(grace);
    report(suspicion);
    if (rank_ != 0) wait(0.5);
    failure_.set(suspicion);
    return failure_.text();
  }
  /// Makes it the failure of this rank now and, unless there was another, of all ranks soon.
  void report(const std::string& why) {
    if (rank_ == 0) failure_.set(why);
    order([&](Orders& o) {
      if (o.fail.empty()) o.fail = why;
    });
  }
  void report_here(const std::string& why) {
    report(why);
    failure_.set(why);
  }
  /// On rank 0: what happened to a rank, and may have followed from another's silence. It is the failure unless that
  /// shows in time; until then nobody takes offence at the rank's own silence or end.
  void suspect(std::size_t rank, std::string why) {
    {
      const Locked lock(mutex_);
      peers_[rank].suspicion = std::move(why);
      peers_[rank].suspected = monotonic_seconds();
    }
    poke_.set();
  }

  /// Says `bye` and ends the thread, after `seconds` at most. Rank 0 waits for the others' bye if asked.
  void leave(double seconds, bool wait_for_all = false) noexcept {
    if (joined_) return;
    order([&](Orders& o) {
      o.leave = true;
      o.leave_at = monotonic_seconds() + seconds;
      o.wait_for_all = wait_for_all;
    });
    thread_.join();
    joined_ = true;
  }

 private:
  struct Peer {
    PacketLink link;
    double heard = 0, moved = 0;
    std::int64_t step = 0;
    bool ready = false, said_bye = false, told_bye = false;
    std::string suspicion;
    double suspected = 0;
  };
  struct Orders {  // from other threads to the control thread
    bool ready = false, leave = false, wait_for_all = false;
    double leave_at = 0;
    std::string fail;
  };

  template <class F>
  void order(F&& f) noexcept {
    {
      const Locked lock(mutex_);
      f(orders_);
    }
    poke_.set();
  }

  void work() noexcept {
    try {
      double next_beat = monotonic_seconds() + times_.beat;
      for (;;) {
        wait(next_beat);
        const Locked lock(mutex_);
        const double now = monotonic_seconds();
        for (std::size_t r = 0; r < peers_.size(); ++r) hear(r, now);
        follow_orders();
        if (now >= next_beat) {
          next_beat = now + times_.beat;
          if (rank_ != 0) send_to(0, {Packet::beat, encode_step()});
        }
        judge(monotonic_seconds());
        for (std::size_t r = 0; r < peers_.size(); ++r)
          if (peers_[r].link.open() && !peers_[r].link.flush()) lost(r, errno);
        if (orders_.leave && may_go(now)) return;
      }
    } catch (const std::exception& e) {
      failure_.set(cat("rank ", rank_, ": its control thread failed: ", e.what()));
    }
  }
  void wait(double next_beat) {
    std::vector<pollfd> fds{{poke_.fd(), POLLIN, 0}};
    for (const Peer& p : peers_)
      if (p.link.open()) fds.push_back({p.link.fd(), p.link.events(), 0});
    double left = std::min(next_beat - monotonic_seconds(), times_.silence / 4);
    if (leaving_) left = std::min(left, 0.05);
    poll_for(fds.data(), fds.size(), left);
    poke_.clear();
  }
  void hear(std::size_t r, double now) {
    PacketLink& link = peers_[r].link;
    if (!link.open()) return;
    const bool there = link.fill();
    const int error = errno;
    try {
      while (const std::optional<Packet> p = link.pop()) {
        peers_[r].heard = now;
        take(r, *p, now);
      }
    } catch (const CommError& e) {
      fail_all(e.message());
      link.close();
      return;
    }
    if (!there) lost(r, error);
  }
  void take(std::size_t r, const Packet& p, double now) {
    Peer& peer = peers_[r];
    switch (p.type) {
      case Packet::ready:
        peer.ready = true;
        break;
      case Packet::go:
        go_.set();
        break;
      case Packet::beat: {
        const auto step = static_cast<std::int64_t>(BodyReader(p.body, peer.link.peer()).u64());
        if (step != peer.step) peer.moved = now;
        peer.step = step;
        send_to(r, {Packet::answer, {}});
        break;
      }
      case Packet::fail:
        fail_all(p.body);
        break;
      case Packet::abort:
        failure_.set(p.body);
        break;
      case Packet::bye:
        peer.said_bye = true;
        say_bye(r);  // it waits for this one before it closes
        break;
      default:
        break;
    }
  }
  void lost(std::size_t r, int error) {
    Peer& peer = peers_[r];
    peer.link.close();
    if (peer.said_bye || leaving_ || !peer.suspicion.empty()) return;
    fail_all(cat("rank ", r, " was lost: ", lost_text(error), " without a bye"));
  }
  /// What has failed, and, on rank 0, everybody's business.
  void fail_all(const std::string& why) {
    failure_.set(why);
    if (rank_ != 0 || told_) return;
    told_ = true;
    const std::string verdict = failure_.text();
    for (std::size_t r = 1; r < peers_.size(); ++r) send_to(r, {Packet::abort, verdict});
  }
  void follow_orders() {
    Orders& o = orders_;
    if (!o.fail.empty() && !reported_) {
      reported_ = true;
      if (rank_ == 0)
        fail_all(o.fail);
      else
        send_to(0, {Packet::fail, o.fail});
    }
    if (o.ready && rank_ != 0 && !peers_[0].ready) {
      peers_[0].ready = true;
      send_to(0, {Packet::ready, {}});
    }
    if (o.ready && rank_ == 0 && !all_ready_) {
      all_ready_ = true;
      for (std::size_t r = 1; r < peers_.size(); ++r) all_ready_ = all_ready_ && peers_[r].ready;
      for (std::size_t r = 1; all_ready_ && r < peers_.size(); ++r) send_to(r, {Packet::go, {}});
      if (all_ready_) go_.set();
    }
    if (!o.leave) return;
    leaving_ = true;
    for (std::size_t r = 0; r < peers_.size(); ++r) {
      const Peer& p = peers_[r];
      const bool later = rank_ == 0 && o.wait_for_all && !p.said_bye && monotonic_seconds() < o.leave_at;
      if (!later) say_bye(r);
    }
  }
  void say_bye(std::size_t r) {
    if (peers_[r].told_bye) return;
    send_to(r, {Packet::bye, {}});
    peers_[r].told_bye = true;
  }
  /// Silence, and steps that stand still.
  void judge(double now) {
    if (failure_.happened() || leaving_) return;
    std::size_t slowest = peers_.size();
    for (std::size_t r = 0; r < peers_.size(); ++r) {
      Peer& p = peers_[r];
      if (rank_ == 0 && r == 0) {
        if (const std::int64_t step = step_.load(std::memory_order_relaxed); step != p.step)
          p.step = step, p.moved = now;
      } else if (p.link.open() && !p.said_bye && p.suspicion.empty() && now - p.heard > times_.silence) {
        return fail_all(cat("rank ", r, " was lost: silent for ", static_cast<std::int64_t>(now - p.heard),
                            " s", rank_ == 0 ? cat(" (last at step ", p.step, ")") : std::string()));
      }
      if (rank_ != 0 || p.said_bye) continue;
      const bool later =
          slowest < peers_.size() && (p.step > peers_[slowest].step ||
                                      (p.step == peers_[slowest].step && p.moved >= peers_[slowest].moved));
      if (!later) slowest = r;
    }
    for (const Peer& p : peers_)
      if (!p.suspicion.empty() && now - p.suspected > times_.silence) return fail_all(p.suspicion);
    if (times_.stall > 0 && slowest < peers_.size() && all_ready_ &&
        now - peers_[slowest].moved > times_.stall)
      fail_all(cat("rank ", slowest, " stands still: at step ", peers_[slowest].step, " for ",
                   static_cast<std::int64_t>(now - peers_[slowest].moved), " s"));
  }
  /// All byes are said and sent, and the peers have gone: what was sent is not cut off by our closing first.
  bool may_go(double now) {
    if (now >= orders_.leave_at + 0.1) return true;
    for (Peer& p : peers_) {
      if (!p.link.open()) continue;
      if (!p.told_bye || !p.link.flushed()) return false;
      if (!p.said_bye && now < orders_.leave_at) return false;
    }
    return true;
  }
  std::string encode_step() const {
    std::string body;
    put_u64(body, static_cast<std::uint64_t>(step_.load(std::memory_order_relaxed)));
    return body;
  }
  void send_to(std::size_t r, const Packet& p) {
    if (peers_[r].link.open() && !peers_[r].told_bye) peers_[r].link.put(p);
  }

  const int rank_;
  const ControlTimes times_;
  Failure failure_;
  Wake poke_, go_;
  std::atomic<std::int64_t> step_{0};
  Mutex mutex_;  // over what follows
  std::vector<Peer> peers_;
  Orders orders_;
  bool told_ = false, reported_ = false, all_ready_ = false, leaving_ = false;
  ServiceThread thread_;
  bool joined_ = false;
};

}  // namespace crema
