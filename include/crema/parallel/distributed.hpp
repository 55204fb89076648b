// SPDX-License-Identifier: Apache-2.0
// Distributed: what all strategies of several ranks share: one start, one stop, checks that the ranks are alike.
//
// A strategy of its own derives from it and writes run_step, and enter_consensus and leave_consensus if the ranks'
// weights differ between steps. Weights and gradients are exchanged where they lie: the backend's memory has to be
// the host's.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "crema/comm/communicator.hpp"
#include "crema/spec/text_printer.hpp"
#include "crema/train/crc32c.hpp"
#include "crema/train/strategy.hpp"

namespace crema::inline CREMA_ABI {

template <class T, class B>
class Distributed : public Strategy<T, B> {
 public:
  static_assert(B::name == "cpu", "a strategy of several ranks works on host memory");

  /// The communicator is used by the thread that trains, and must outlive the strategy.
  explicit Distributed(Communicator& comm) : comm_(comm) {}
  int rank() const override { return comm_.rank(); }
  int ranks() const override { return comm_.size(); }

  void begin(Replica<T, B>& r) override {
    check_alike(r);
    std::int64_t at[] = {r.iteration};
    comm_.broadcast(std::span<std::int64_t>(at), 0);
    r.iteration = at[0];
    comm_.broadcast(r.net.parameters()->edit(), 0);
    for (std::size_t h = 0; h < r.solver.histories(); ++h) comm_.broadcast(r.solver.history(h), 0);
  }
  void add_up(std::span<Loss> losses) override { add_up(losses, 0); }
  /// Ranks that go alone hear of it when they meet.
  Action agree(Action wanted) override {
    wanted_ = std::max(wanted_, wanted);
    if (!meets_) return Action::none;
    std::uint8_t action[] = {static_cast<std::uint8_t>(std::exchange(wanted_, Action::none))};
    comm_.broadcast(std::span<std::uint8_t>(action), 0);
    return static_cast<Action>(action[0]);
  }
  void fail(const std::string& why) noexcept override { comm_.fail(why); }

 protected:
  /// What must be equal on all ranks beside the net; a strategy adds its own settings.
  virtual std::string settings() const { return std::string(this->name()); }

  /// The losses and one more number, added over the ranks; returns the number's sum.
  double add_up(std::span<Loss> losses, double number) {
    numbers_ = {number};
    for (const Loss& l : losses) numbers_.insert(numbers_.end(), {l.sum, l.weight});
    comm_.all_reduce(std::span<double>(numbers_));
    for (std::size_t k = 0; k < losses.size(); ++k) losses[k] = {numbers_[2 * k + 1], numbers_[2 * k + 2]};
    return numbers_[0];
  }

  /// Throws Error on every rank when a rank's weights have other bits than rank 0's.
  void check_weights(Replica<T, B>& r) {
    const auto w = r.net.parameters()->values();
    const std::string_view bytes(reinterpret_cast<const char*>(w.data()), w.size_bytes());
    const int other = first_that_differs(crc32c(bytes));
    if (other >= 0)
      throw Error(cat("iteration ", r.iteration, ": rank ", other, "'s weights are not rank 0's: ",
                      "do the ranks run on different instruction sets or memory that fails?"));
  }

  Communicator& comm_;
  bool meets_ = true;  // whether the ranks meet in this step
  Action wanted_ = Action::none;

 private:
  /// The first rank whose number is not rank 0's, or -1; the same answer on all ranks.
  int first_that_differs(std::uint64_t number) {
    std::vector<std::int64_t> all(static_cast<std::size_t>(ranks()), 0);
    all[static_cast<std::size_t>(rank())] = static_cast<std::int64_t>(number);
    comm_.all_reduce(std::span<std::int64_t>(all));
    for (std::size_t i = 1; i < all.size(); ++i)
      if (all[i] != all[0]) return static_cast<int>(i);
    return -1;
  }

  /// What ranks must have alike of a solver: paths, devices and what the fingerprints of net and data tell may differ.
  static std::string shared_settings(SolverSpec s) {
    s.net.reset(), s.train_net.reset(), s.net_param.reset(), s.train_net_param.reset();
    s.test_net.clear(), s.test_net_param.clear(), s.weights.clear(), s.snapshot_prefix.clear();
    s.solver_mode = {}, s.device_id = 0, s.random_seed = -1;
    return print(s);
  }

  void check_alike(Replica<T, B>& r) {
    const auto same = [&](std::uint64_t number, std::string_view what) {
      if (const int other = first_that_differs(number); other >= 0)
        throw SpecError(cat("rank ", other, " has another ", what,
                            " than rank 0: give all ranks the same files and flags"));
    };
    same(hash_name(cat(r.source.batch(), " ", r.iter_size)), "batch_size or iter_size");
    same(r.seed, "seed");
    same(r.source.fingerprint(), "data set or transform_param");
    same(hash_name(print(r.net.spec()), r.net.parameters()->fingerprint()), "net");
    same(hash_name(shared_settings(r.solver.spec())), "solver");
    same(hash_name(settings()), "strategy");
  }

  std::vector<double> numbers_;
};

}  // namespace crema::inline CREMA_ABI
