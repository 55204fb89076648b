// SPDX-License-Identifier: Apache-2.0
// Synchronous SGD: N ranks take the step of one rank with the N-fold batch.
//
//   Synchronous<float, Cpu> strategy(comm);                       // Trainer's last argument, on every rank
//
// Losses and their weights are added over the ranks before backward, so that gradients are those of the whole batch,
// exact for short shares and ignored labels too. Gradients are gathered into buckets as backward finishes them, from
// the last layer to the first; each bucket is reduce-scattered while backward goes on, the rank that owns a part
// updates it, and all-gathers bring the new weights to all: equal weights by construction, and 1/N of the update's
// work each (reduce-scatter and all-gather move what an all-reduce would). The next forward goes on meanwhile, and
// waits for a layer's weights before that layer; the first layers' travel first.
//
// bfloat16: gradients travel as bfloat16 with error feedback (Karimireddy et al., "Error feedback fixes SignSGD",
// ICML 2019): what rounding took away is added to the next step's gradient. It is no part of a snapshot: a job that
// resumes begins with none, and with other last bits than one that never stopped.
#pragma once

#include "crema/parallel/distributed.hpp"

namespace crema::inline CREMA_ABI {

struct SynchronousOptions {
  std::size_t bucket_bytes = 0;  // of gradients that travel together, at least; 0: default_bucket_bytes()
  bool bfloat16 = false;
};

/// An eighth of the gradients, so that the first leave early in backward, but no less than 64 KB and no more than 1 MB:
/// each bucket costs two latencies.
constexpr std::size_t default_bucket_bytes(std::size_t gradient_bytes) {
  return std::clamp(gradient_bytes / 8, std::size_t{1} << 16, std::size_t{1} << 20);
}

template <class T, class B>
class Synchronous final : public Distributed<T, B>, Arrivals {
 public:
  explicit Synchronous(Communicator& comm, SynchronousOptions options = {})
      : Distributed<T, B>(comm), options_(options) {
    if (options.bfloat16 && !std::same_as<T, float>)
      throw SpecError("bfloat16 gradients want a net in float");
  }
  ~Synchronous() override {
    if (parameters_) parameters_->forget(this);
  }
  std::string_view name() const override { return "synchronous"; }

  void begin(Replica<T, B>& r) override {
    Distributed<T, B>::begin(r);
    plan_buckets(r);
    parameters_ = r.net.parameters();
    parameters_->expect(this);
    if (!options_.bfloat16) return;
    residual_.assign(r.net.gradients().size(), 0);
    half_.resize(r.net.gradients().size());
  }

  void run_step(Replica<T, B>& r) override {
    for (Bucket& b : buckets_) b.waiting = b.segments;
    started_ = 0, replica_ = &r;
    const auto over_ranks = [this](std::span<Loss> l) { this->add_up_and_tell(l); };
    double scale = 0;
    try {
      scale = step_.run(r, over_ranks, sink_);
    } catch (const CommError&) {
      throw;
    } catch (...) {
      settle();
      throw;
    }
    while (started_ < buckets_.size()) start(buckets_[started_]);
    for (Bucket& b : buckets_) {
      this->comm_.wait(b.ticket);
      receive(b);
    }
    if (r.solver.clips()) scale *= r.solver.clip_scale(own_sum_of_squares());
    const std::span<T> w = r.net.parameters()->edit();
    const SolverStep update = r.solver.step(r.iteration, scale);
    for (std::size_t i = buckets_.size(); i-- > 0;) {
      Bucket& b = buckets_[i];
      const Part own = own_part(b);
      const std::size_t first = b.first + own.first;
      r.solver.update_part(r.backend, r.net.parameters()->segments(), w,
                           r.net.gradients().subspan(first, own.count), first, update);
      b.ticket = this->comm_.start_all_gather(w.subspan(b.first, b.count), parameters_);
      b.arriving = true;
    }
  }

  /// Told with the losses of the next step, so that no message waits behind the weights.
  Action agree(Action wanted) override {
    if (this->ranks() == 1) return wanted;
    if (replica_->iteration >= replica_->solver.spec().max_iter) return Distributed<T, B>::agree(wanted);
    this->wanted_ = std::max(this->wanted_, wanted);
    return std::exchange(heard_, Action::none);
  }
  void end(Replica<T, B>&) override { wait_for_all(); }

  /// Rank 0 gets the parts of the history that others own; the weights are equal, and that is checked.
  void enter_consensus(Replica<T, B>& r, bool history) override {
    if (!history) return;
    this->check_weights(r);
    for (std::size_t h = 0; h < r.solver.histories(); ++h)
      for (const Bucket& b : buckets_) this->comm_.all_gather(r.solver.history(h).subspan(b.first, b.count));
  }

 protected:
  std::string settings() const override {
    return cat("synchronous ", options_.bucket_bytes, options_.bfloat16);
  }

 private:
  /// A range of whole segments of the flat buffers.
  struct Bucket {
    std::size_t first = 0, count = 0;
    int segments = 0, waiting = 0;  // those that get a gradient; those that have not got it in this step
    bool arriving = false;          // its weights
    Ticket ticket = {};
  };

  /// Takes gradients as they are finished; full buckets leave in order.
  struct Sink final : GradSink<T, B> {
    explicit Sink(Synchronous& s) : owner(s) {}
    Synchronous& owner;
    bool add = false;
    void adding(bool yes) { add = yes; }
    bool adds() const override { return add; }
    void take(B&, std::size_t first, std::span<const T>) override { owner.take(first); }
  };

  void wait_for(std::size_t first, std::size_t count) override {
    for (Bucket& b : buckets_) {
      if (!b.arriving || first >= b.first + b.count || b.first >= first + count) continue;
      this->comm_.wait(b.ticket);
      b.arriving = false;
    }
  }
  void wait_for_all() {
    if (!buckets_.empty()) wait_for(0, buckets_.front().first + buckets_.front().count);
  }
  /// Whoever reads the weights after a step that failed for another reason finds those of the step before.
  void settle() {
    try {
      wait_for_all();
    } catch (const CommError&) {  // the first failure is the one to tell
    }
  }
  void add_up_and_tell(std::span<Loss> losses) {
    const double told = this->rank() == 0 ? static_cast<double>(this->wanted_) : 0;
    heard_ = std::max(heard_, static_cast<Action>(this->add_up(losses, told)));
    this->wanted_ = Action::none;
  }

  /// Ranges from the end of the buffer to its beginning, as backward finishes them.
  void plan_buckets(Replica<T, B>& r) {
    buckets_.clear();
    const auto& segments = r.net.parameters()->segments();
    std::size_t end = r.net.parameters()->values().size();
    const std::size_t full =
        options_.bucket_bytes > 0 ? options_.bucket_bytes : default_bucket_bytes(end * sizeof(T));
    Bucket b;
    for (std::size_t i = segments.size(); i-- > 0;) {
      if (segments[i].lr_mult != 0) ++b.segments;
      b.first = segments[i].offset, b.count = end - b.first;
      if (i > 0 && b.count * sizeof(T) < full) continue;
      buckets_.push_back(b);
      end = b.first, b = {};
    }
  }
  Part own_part(const Bucket& b) const { return part_of(b.count, this->ranks(), this->rank()); }

  void take(std::size_t first) {
    for (Bucket& b : buckets_)
      if (first >= b.first && first < b.first + b.count) --b.waiting;
    // In order, on all ranks alike: a bucket waits for those behind it.
    while (started_ < buckets_.size() && buckets_[started_].waiting <= 0) start(buckets_[started_]);
    this->comm_.progress();
  }
  void start(Bucket& b) {
    ++started_;
    const std::span<T> g = replica_->net.gradients().subspan(b.first, b.count);
    if (!options_.bfloat16) {
      b.ticket = this->comm_.start_reduce_scatter(g);
      return;
    }
    for (std::size_t i = 0; i < g.size(); ++i) {
      T& left = residual_[b.first + i];
      const float value = static_cast<float>(g[i] + left);
      half_[b.first + i] = BFloat16(value);
      left = static_cast<T>(value - half_[b.first + i]);
    }
    b.ticket = this->comm_.start_reduce_scatter(std::span<BFloat16>(half_).subspan(b.first, b.count));
  }
  void receive(const Bucket& b) {
    if (!options_.bfloat16) return;
    const Part own = own_part(b);
    for (std::size_t i = b.first + own.first; i < b.first + own.first + own.count; ++i)
      replica_->net.gradients()[i] = static_cast<T>(static_cast<float>(half_[i]));
  }
  double own_sum_of_squares() {
    double sum[] = {0};
    for (const Bucket& b : buckets_) {
      const Part own = own_part(b);
      const std::span<const T> g = replica_->net.gradients().subspan(b.first + own.first, own.count);
      sum[0] += sum_of_squares<T>(replica_->backend, g);
    }
    this->comm_.all_reduce(std::span<double>(sum));
    return sum[0];
  }

  SynchronousOptions options_;
  GradientStep<T, B> step_;
  Sink sink_{*this};
  Replica<T, B>* replica_ = nullptr;  // of the last step
  std::shared_ptr<Parameters<T, B>> parameters_;
  Action heard_ = Action::none;  // what rank 0's host wants
  std::vector<Bucket> buckets_;
  std::size_t started_ = 0;
  std::vector<T> residual_;
  std::vector<BFloat16> half_;
};

}  // namespace crema::inline CREMA_ABI
