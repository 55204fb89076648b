// SPDX-License-Identifier: Apache-2.0
// Parameter server: rank 0 holds the weights and the solver, the other ranks fetch weights and push gradients, each at
// its own pace. What Downpour SGD and bounded delay have in common; parallel/downpour.hpp and bounded_delay.hpp are the
// two rules.
//
// The steps of the job, max_iter for each worker, are numbered, and the server deals them out: a worker that is done with
// its own asks for the next, so a fast one takes over what a slow one does not come to. With N workers, steps t N to
// t N + N - 1 are iteration t.
//
// A worker: fetch weights and the next fetch_every steps; of each compute the gradient g and keep it; push, if due, what was
// kept. The server applies each push by its solver when it comes. It deals out a step of iteration t once all steps of
// iterations before t - delay have been pushed (Li et al., "Scaling distributed machine learning with the
// parameter server", OSDI 2014); the furthest that one was ever ahead is furthest_ahead().
//
// The server's iteration counts the steps that were pushed, divided by N: its rate, tests and snapshots go by it. Each worker
// goes through its own shards of the data in epochs of its own: a fast one's samples are seen more often.
#pragma once

#include <time.h>

#include <limits>

#include "crema/parallel/distributed.hpp"

namespace crema::inline CREMA_ABI {

struct ParameterServerRule {
  int fetch_every = 1, push_every = 1;  // steps of a worker
  std::int64_t delay =
      std::numeric_limits<std::int64_t>::max();  // iterations that a step may be ahead of the oldest
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
  /// The most iterations that a step had been dealt out ahead of one whose push came; the server knows.
  std::int64_t furthest_ahead() const { return ahead_; }

  void begin(Replica<T, B>& r) override {
    Distributed<T, B>::begin(r);
    max_iter_ = r.solver.spec().max_iter;
    working_.assign(static_cast<std::size_t>(this->ranks()), -1);
    waiting_.assign(working_.size(), false), gone_.assign(working_.size(), false);
    stop_ = false, ahead_ = 0, kept_steps_ = 0, dealt_ = 0;
    next_ = steps_ = r.iteration * workers();
    const std::size_t n = r.net.parameters()->values().size();
    message_.assign(is_server() ? n : 0, 0), kept_.assign(is_server() ? 0 : n, 0);
    r.losses.assign(r.net.outputs().size(), {});
    if (is_server()) return;
    fetch(r);
    if (dealt_ == 0) r.iteration = max_iter_;
  }
  std::int64_t next(std::int64_t iteration) const override {
    return is_server() ? iteration + 1 : dealt_ > 0 ? next_ / workers() : max_iter_;
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
    send_header(Request::leave);
  }

 private:
  enum class Request : std::int64_t { fetch, push, leave };
  enum Tag : int { request_tag = 1, gradient_tag, loss_tag, weights_tag, answer_tag };

  // --- worker

  void work(Replica<T, B>& r) {
    r.iteration = next_ / workers(), r.first_sample = next_ % workers() * r.source.batch();
    const double scale = step_.run(r);
    const std::span<T> g = r.net.gradients();
    axpby<T>(r.backend, static_cast<T>(scale), g, 1, std::span<T>(kept_));
    if (++kept_steps_ == rule_.push_every) push(r);
    ++next_, --dealt_;
    if (dealt_ == 0)
      fetch(r);
    else if (rule_.steps_alone)
      move_alone(r, g, scale);
  }
  void fetch(Replica<T, B>& r) {
    send_header(Request::fetch);
    std::int64_t answer[3];
    this->comm_.receive(std::span<std::int64_t>(answer), 0, answer_tag);
    stop_ = answer[0] != 0, next_ = answer[1], dealt_ = answer[2];
    this->comm_.receive(r.net.parameters()->edit(), 0, weights_tag);
  }
  void push(Replica<T, B>& r) {
    send_header(Request::push);
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
  void send_header(Request request) {
    const std::int64_t header[] = {static_cast<std::int64_t>(request), kept_steps_};
    this->comm_.send(std::span<const std::int64_t>(header), 0, request_tag);
  }

  // --- server

  static constexpr long shortest_nap = 50'000,
                        longest_nap = 800'000;  // nanoseconds; each look asks every link

  /// Answers the workers until `enough`. Throws CommError when none of them says a word for too long.
  template <class Enough>
  void serve(Replica<T, B>& r, const Enough& enough) {
    r.losses.assign(r.net.outputs().size(), {});
    double last = monotonic_seconds();
    timespec nap{0, shortest_nap};
    while (!enough()) {
      if (answer_one(r)) {
        last = monotonic_seconds(), nap.tv_nsec = shortest_nap;
      } else if (monotonic_seconds() - last > this->comm_.timeout()) {
        this->comm_.fail("the parameter server has heard no worker until its deadline");
        throw CommError(this->comm_.failure());
      } else {
        nanosleep(&nap, nullptr);
        nap.tv_nsec = std::min(2 * nap.tv_nsec, longest_nap);
      }
    }
  }
  bool answer_one(Replica<T, B>& r) {
    const std::optional<Incoming> m = this->comm_.probe(any_rank, request_tag);
    if (!m) return false;
    std::int64_t header[2];
    this->comm_.receive(std::span<std::int64_t>(header), m->from, request_tag);
    const auto worker = static_cast<std::size_t>(m->from);
    switch (static_cast<Request>(header[0])) {
      case Request::fetch:
        waiting_[worker] = true;
        break;
      case Request::push:
        check_delay(working_[worker]);
        take_push(r, m->from, header[1]);
        working_[worker] = -1;
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
  /// Sends weights and steps to those who wait, unless that would be too far ahead of the oldest step in work.
  void answer_fetches(Replica<T, B>& r) {
    bool all_wait = true;
    for (std::size_t k = 1; k < waiting_.size(); ++k) all_wait = all_wait && (gone_[k] || waiting_[k]);
    if (rule_.delay == 0 && !all_wait) return;  // a push must not reach those still to fetch
    for (std::size_t k = 1; k < waiting_.size(); ++k) {
      const std::int64_t left = stop_ ? 0 : max_iter_ * workers() - next_,
                         n = std::min(left, std::int64_t{rule_.fetch_every}),
                         answer[] = {stop_ ? 1 : 0, next_, n};
      if (!waiting_[k] || (n > 0 && next_ / workers() - rule_.delay > oldest())) continue;
      waiting_[k] = false;
      if (n > 0 && working_[k] < 0) working_[k] = next_ / workers();
      next_ += n;
      this->comm_.send(std::span<const std::int64_t>(answer), static_cast<int>(k), answer_tag);
      this->comm_.send(std::span<const T>(r.net.parameters()->values()), static_cast<int>(k), weights_tag);
    }
  }
  /// The oldest iteration of which a step is in work or to be dealt out.
  std::int64_t oldest() const {
    std::int64_t found = next_ / workers();
    for (const std::int64_t t : working_) found = t < 0 ? found : std::min(found, t);
    return found;
  }
  /// What the rule promises, seen from a step that was pushed.
  void check_delay(std::int64_t iteration) {
    const std::int64_t ahead = (next_ - 1) / workers() - iteration;
    if (iteration >= 0) ahead_ = std::max(ahead_, ahead);
    if (ahead_ > rule_.delay)
      throw Error(cat("a step of a worker was ", ahead_, " iterations ahead, of a delay of ", rule_.delay));
  }
  bool all_gone() const { return std::count(gone_.begin() + 1, gone_.end(), false) == 0; }

  ParameterServerRule rule_;
  GradientStep<T, B> step_;
  std::int64_t max_iter_ = 0;
  std::int64_t next_ = 0;                    // a worker's next step; the server's to deal out
  std::int64_t dealt_ = 0, kept_steps_ = 0;  // a worker's: before the next fetch, since the last push
  std::int64_t steps_ = 0, ahead_ = 0;       // the server's: steps pushed
  bool stop_ = false;
  std::vector<std::int64_t> working_;  // per rank: the iteration of the step in work, or -1
  std::vector<bool> waiting_, gone_;
  std::vector<T> message_, kept_;
  std::vector<double> losses_;
};

}  // namespace crema::inline CREMA_ABI
