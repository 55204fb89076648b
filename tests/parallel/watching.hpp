// SPDX-License-Identifier: Apache-2.0
// Watching: a communicator that tells a test what a rank does with it.
#pragma once

#include <functional>
#include <map>

#include "crema/comm/communicator.hpp"

namespace crema_test {

using namespace crema;

class Watching final : public Communicator {
 public:
  explicit Watching(Communicator& inner)
      : Communicator(inner.rank(), inner.size(), inner.timeout()), inner_(inner) {}

  std::function<void(const Operation&)> on_start = {};  // before it is started
  std::function<void(const Operation&)> on_end = {};    // after it was waited for
  std::function<void()> on_progress = {};
  /// All-gathers that were started and not waited for.
  std::size_t arriving() const {
    std::size_t n = 0;
    for (const auto& [id, op] : running_) n += op.kind == Operation::all_gather;
    return n;
  }

  std::string_view name() const noexcept override { return inner_.name(); }
  std::optional<Incoming> probe(int from, int tag) override { return inner_.probe(from, tag); }
  void progress() override {
    if (on_progress) on_progress();
    inner_.progress();
  }
  bool done(Ticket t) override { return inner_.done(t); }
  void wait(Ticket t, double seconds) override {
    inner_.wait(t, seconds);
    if (const auto op = running_.extract(t.id()); op && on_end) on_end(op.mapped());
  }
  Ticket start(Operation op) override {
    if (on_start) on_start(op);
    Operation kept = op;
    kept.keep = {};
    const Ticket t = inner_.start(std::move(op));
    running_[t.id()] = std::move(kept);
    return t;
  }
  void fail(const std::string& why) noexcept override { inner_.fail(why); }
  std::string failure() const override { return inner_.failure(); }

 private:
  Communicator& inner_;
  std::map<std::uint64_t, Operation> running_;
};

}  // namespace crema_test
