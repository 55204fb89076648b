// SPDX-License-Identifier: Apache-2.0
// Parameter server: rank 0 holds the weights and the solver, the other ranks fetch weights and push gradients, each at
// its own pace. What Downpour SGD and bounded delay have in common; parallel/downpour.hpp and bounded_delay.hpp are the
// two rules.
//
// A worker's step t: fetch the weights, if due; compute the gradient g; keep it; push, if due, what was kept. The server
// applies each push by its solver when it comes. A fetch of step t is answered once every worker has finished step
// t - delay - 1 (the vector clock of Li et al., "Scaling distributed machine learning with the parameter
// server", OSDI 2014); the furthest that one was ever ahead is furthest_ahead().
//
// The server's iteration counts steps of all workers divided by their number: its rate, tests and snapshots go by it.
#pragma once

#include <time.h>

#include <limits>

#include "crema/parallel/distributed.hpp"

namespace crema::inline CREMA_ABI {

struct ParameterServerRule {
  int fetch_every = 1, push_every = 1;  // steps of a worker
  std::int64_t delay =
      std::numeric_limits<std::int64_t>::max();  // steps that a worker may be ahead of the slowest
  bool mean = false;  // pushes count 1 / workers each: one step of all workers is one of the whole batch
  bool steps_alone = true;  // a worker moves its own copy between fetches by plain SGD
};

template <class T, class B>
class ParameterServer : public Distributed<T, B> {
 public:
  ParameterServer(Communicator& comm, ParameterServerRule rule) : Distributed<T, B>(comm), rule_(rule) {
    if (comm.size() < 2) throw SpecError("a parameter server and a worker are two ranks: there is one");
    if (rule.fetch_every < 1 || rule.push_every < 1)
      throw SpecError("fetch_every and push_every must be 1 or more");
    if (rule.delay < 0) throw SpecError(cat("the delay must not be negative: ", rule.delay));
  }
  bool tests_together() const override { return false; }
  int workers() const { return this->ranks() - 1; }
  int replicas() const override { return workers(); }
  bool is_server() const { return this->rank() == 0; }
  /// The most steps that a worker was ahead of the slowest when it got its weights; the server knows.
  std::int64_t furthest_ahead() const { return ahead_; }

  void begin(Replica<T, B>& r) override {
    Distributed<T, B>::begin(r);
    first_step_ = r.iteration;
    clock_.assign(static_cast<std::size_t>(this->ranks()), r.iteration);
    gone_.assign(clock_.size(), false);
    waiting_.assign(clock_.size(), -1);
    stop_ = false, ahead_ = 0, steps_ = r.iteration * workers(), kept_steps_ = 0;
    const std::size_t n = r.net.parameters()->values().size();
    message_.assign(is_server() ? n : 0, 0), kept_.assign(is_server() ? 0 : n, 0);
    // Workers are ranks 1, 2, ...: their samples stand side by side in the global batch.
    r.first_sample = std::max(0, this->rank() - 1) * r.source.batch();
    r.losses.assign(r.net.outputs().size(), {});
  }

  void run_step(Replica<T, B>& r) override {
    if (is_server())
      serve(r, [&] { return steps_ >= (r.iteration + 1) * workers() || all_gone(); });
    else
      work(r);
  }

  /// Known to the workers with their next fetch.
  Action agree(Action wanted) override {
    if (is_server() && wanted == Action::stop) stop_ = true;
    return is_server() ? wanted : stop_ ? Action::stop : Action::none;
  }

  void end(Replica<T, B>& r) override {
    if (is_server()) return serve(r, [&] { return all_gone(); });
    if (kept_steps_ > 0) push(r);
    send_header(Request::leave, r.iteration);
  }

 private:
  enum class Request : std::int64_t { fetch, push, leave };
  enum Tag : int { request_tag = 1, gradient_tag, loss_tag, weights_tag, answer_tag };

  // --- worker

  void work(Replica<T, B>& r) {
    if ((r.iteration - first_step_) % rule_.fetch_every == 0) fetch(r);
    const double scale = step_.run(r);
    const std::span<T> g = r.net.gradients();
    axpby<T>(r.backend, static_cast<T>(scale), g, 1, std::span<T>(kept_));
    ++kept_steps_;
    const bool pushes = (r.iteration + 1 - first_step_) % rule_.push_every == 0;
    if (pushes) push(r);
    if (rule_.steps_alone) move_alone(r, g, scale);
  }
  void fetch(Replica<T, B>& r) {
    send_header(Request::fetch, r.iteration);
    std::int64_t answer[] = {0};
    this->comm_.receive(std::span<std::int64_t>(answer), 0, answer_tag);
    stop_ = answer[0] != 0;
    this->comm_.receive(r.net.parameters()->edit(), 0, weights_tag);
  }
  void push(Replica<T, B>& r) {
    send_header(Request::push, r.iteration);
    this->comm_.send(std::span<const T>(kept_), 0, gradient_tag);
    losses_.clear();
    for (const Loss& l : r.losses) losses_.insert(losses_.end(), {l.sum, l.weight});
    this->comm_.send(std::span<const double>(losses_), 0, loss_tag);
    fill<T>(r.backend, std::span<T>(kept_), 0);
    kept_steps_ = 0;
  }
  /// w -= rate * lr_mult * g: the worker's own copy goes on until the next fetch.
  void move_alone(Replica<T, B>& r, std::span<T> g, double scale) {
    const double rate = learning_rate(r.solver.spec(), r.iteration);
    const std::span<T> w = r.net.parameters()->edit();
    for (const Segment& s : r.net.parameters()->segments())
      axpby<T>(r.backend, static_cast<T>(-rate * s.lr_mult * scale), g.subspan(s.offset, s.count), 1,
               w.subspan(s.offset, s.count));
  }
  void send_header(Request request, std::int64_t step) {
    const std::int64_t header[] = {static_cast<std::int64_t>(request), step, kept_steps_};
    this->comm_.send(std::span<const std::int64_t>(header), 0, request_tag);
  }

  // --- server

  /// Answers the workers until `enough`. Throws CommError when none of them says a word for too long.
  template <class Enough>
  void serve(Replica<T, B>& r, const Enough& enough) {
    r.losses.assign(r.net.outputs().size(), {});
    double last = monotonic_seconds();
    while (!enough()) {
      if (answer_one(r)) {
        last = monotonic_seconds();
      } else if (monotonic_seconds() - last > this->comm_.timeout()) {
        this->comm_.fail("the parameter server has heard no worker until its deadline");
        throw CommError(this->comm_.failure());
      } else {
        const timespec nap{0, 50'000};
        nanosleep(&nap, nullptr);
      }
    }
  }
  bool answer_one(Replica<T, B>& r) {
    const std::optional<Incoming> m = this->comm_.probe(any_rank, request_tag);
    if (!m) return false;
    std::int64_t header[3];
    this->comm_.receive(std::span<std::int64_t>(header), m->from, request_tag);
    const auto worker = static_cast<std::size_t>(m->from);
    switch (static_cast<Request>(header[0])) {
      case Request::fetch:
        waiting_[worker] = header[1];
        break;
      case Request::push:
        take_push(r, m->from, header[2]);
        clock_[worker] = header[1] + 1;
        break;
      case Request::leave:
        gone_[worker] = true;
        break;
    }
    answer_fetches(r);
    return true;
  }
  void take_push(Replica<T, B>& r, int worker, std::int64_t steps) {
    this->comm_.receive(std::span<T>(message_), worker, gradient_tag);
    losses_.resize(2 * r.losses.size());
    this->comm_.receive(std::span<double>(losses_), worker, loss_tag);
    for (std::size_t k = 0; k < r.losses.size(); ++k) r.losses[k] += {losses_[2 * k], losses_[2 * k + 1]};
    check_finite(r.net.outputs(), std::span<const Loss>(r.losses), r.iteration);
    r.solver.update(r.backend, *r.net.parameters(), message_, r.iteration,
                    rule_.mean ? 1.0 / workers() : 1.0);
    steps_ += steps;
  }
  /// Sends weights to those who wait and are not too far ahead of the slowest.
  void answer_fetches(Replica<T, B>& r) {
    std::int64_t slowest = std::numeric_limits<std::int64_t>::max();
    bool all_wait = true;
    for (std::size_t k = 1; k < clock_.size(); ++k)
      if (!gone_[k]) slowest = std::min(slowest, clock_[k]), all_wait = all_wait && waiting_[k] >= 0;
    if (rule_.delay == 0 && !all_wait) return;  // a push of the next step must not reach those still to fetch
    for (std::size_t k = 1; k < waiting_.size(); ++k) {
      if (waiting_[k] < 0 || waiting_[k] - rule_.delay > slowest) continue;
      ahead_ = std::max(ahead_, waiting_[k] - slowest);
      waiting_[k] = -1;
      const std::int64_t answer[] = {stop_ ? 1 : 0};
      this->comm_.send(std::span<const std::int64_t>(answer), static_cast<int>(k), answer_tag);
      this->comm_.send(std::span<const T>(r.net.parameters()->values()), static_cast<int>(k), weights_tag);
    }
  }
  bool all_gone() const { return std::count(gone_.begin() + 1, gone_.end(), false) == 0; }

  ParameterServerRule rule_;
  GradientStep<T, B> step_;
  std::int64_t first_step_ = 0, steps_ = 0, kept_steps_ = 0, ahead_ = 0;
  bool stop_ = false;
  std::vector<std::int64_t> clock_, waiting_;  // per rank: steps pushed, the step whose fetch waits or -1
  std::vector<bool> gone_;
  std::vector<T> message_, kept_;
  std::vector<double> losses_;
};

}  // namespace crema::inline CREMA_ABI
