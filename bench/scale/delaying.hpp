// SPDX-License-Identifier: Apache-2.0
// DelayingCommunicator: another communicator as if it ran over a slower link.
//
//   DelayingCommunicator slow(world.communicator(), {.latency = 100e-6, .bandwidth = 1.25e8});   // 1 Gbit/s
//   Synchronous<float, Cpu> strategy(slow);
//
// A collective is done no earlier than its modelled time: the rank's link takes one after the other, each from when it
// was started, for (bytes that a rank sends) / bandwidth, and its last byte arrives `latency` later for each step of the
// schedule (comm/tcp_collective.hpp). The delay takes no processor time, as on a link that its own hardware
// serves. `bandwidth` 0: only latency is added, from when the inner collective is seen to be done. Messages between two
// ranks pass as they are.
#pragma once

#include <time.h>

#include <algorithm>
#include <map>

#include "crema/comm/communicator.hpp"

namespace crema_bench {

struct SlowLink {
  double latency = 0, bandwidth = 0;  // seconds; bytes a second each way, 0: the inner communicator's own
};

class DelayingCommunicator final : public crema::Communicator {
 public:
  DelayingCommunicator(crema::Communicator& inner, SlowLink link)
      : Communicator(inner.rank(), inner.size(), inner.timeout()), inner_(inner), link_(link) {
    limit_tags(inner.most_tag());
  }

  std::string_view name() const noexcept override { return inner_.name(); }
  std::optional<crema::Incoming> probe(int from, int tag) override { return inner_.probe(from, tag); }
  void progress() override {
    inner_.progress();
    look();
  }
  bool done(crema::Ticket t) override {
    if (!inner_.done(t)) return false;
    look();
    const auto at = pending_.find(t.id());
    if (at == pending_.end()) return true;
    if (crema::monotonic_seconds() < at->second.release) return false;
    pending_.erase(at);
    return true;
  }
  void wait(crema::Ticket t, double seconds) override {
    inner_.wait(t, seconds);
    look();
    const auto at = pending_.find(t.id());
    if (at == pending_.end()) return;
    sleep_until(at->second.release);
    pending_.erase(at);
  }
  void fail(const std::string& why) noexcept override { inner_.fail(why); }
  std::string failure() const override { return inner_.failure(); }

 private:
  using Operation = crema::Operation;
  struct Pending {
    int steps = 0;
    double release = 0;
    bool waits_for_inner = false;
  };

  crema::Ticket start(Operation op) override {
    const double now = crema::monotonic_seconds(), wire = wire_bytes(op);
    const int steps = steps_of(op);
    const crema::Ticket t = inner_.start(std::move(op));
    if (steps == 0) return t;
    if (link_.bandwidth == 0) {
      pending_[t.id()] = {steps, 0, true};
      look();
      return t;
    }
    free_ = std::max(free_, now) + wire / link_.bandwidth;
    pending_[t.id()] = {steps, free_ + steps * link_.latency};
    return t;
  }
  /// Without a bandwidth: notes when inner collectives have ended.
  void look() {
    for (auto& [id, p] : pending_) {
      if (!p.waits_for_inner) continue;
      if (!inner_.done(crema::Ticket(id))) return;
      p.release = crema::monotonic_seconds() + p.steps * link_.latency, p.waits_for_inner = false;
    }
  }

  bool is_small(const Operation& op, std::size_t others) const {
    return op.count * size_of(op.type) * others <= std::size_t{32} << 10;
  }
  int steps_of(const Operation& op) const {
    if (size() == 1 || op.kind == Operation::send || op.kind == Operation::receive) return 0;
    return op.kind == Operation::all_reduce && !is_small(op, static_cast<std::size_t>(size()) - 1) ? 2 : 1;
  }
  /// What this rank sends; in a broadcast, what comes.
  double wire_bytes(const Operation& op) const {
    const auto bytes = static_cast<double>(op.count * size_of(op.type));
    const double others = size() - 1;
    switch (op.kind) {
      case Operation::all_reduce:
        return is_small(op, static_cast<std::size_t>(others)) ? bytes * others : 2 * bytes * others / size();
      case Operation::reduce_scatter:
      case Operation::all_gather:
        return bytes * others / size();
      case Operation::broadcast:
        return rank() == op.peer ? 0 : bytes;
      default:
        return 0;
    }
  }

  /// Most of the time asleep; what was started after moves on.
  void sleep_until(double when) {
    constexpr double spin = 150e-6, slice = 500e-6;  // what the system's sleep may be late; between two looks
    for (double left; (left = when - crema::monotonic_seconds()) > 0;) {
      if (left > spin) {
        const timespec t{0, static_cast<long>(std::min(left - spin, slice) * 1e9)};
        nanosleep(&t, nullptr);
      }
      progress();
    }
  }

  crema::Communicator& inner_;
  SlowLink link_;
  double free_ = 0;                           // when this rank's link has sent what was started
  std::map<std::uint64_t, Pending> pending_;  // collectives, by ticket
};

}  // namespace crema_bench
