// SPDX-License-Identifier: Apache-2.0
// Batcher: batches of transformed samples, made ahead by a thread of its own.
//
//   Batcher batches(dataset, transform, {.batch = 64, .phase = Phase::train, .seed = 1, .shuffle = true});
//   const Batch& b = batches.next();      // b.data N,C,H,W; b.labels; valid until the next call
//
// The cursor is the number of samples given out. With `wrap`, epochs follow each other without a seam: a
// batch may hold the end of one and the beginning of the next; no sample is left out or repeated within an
// epoch. Without, the last batch is short and the one after it empty. seek() makes the next batch begin at
// any cursor: what follows depends on it alone.
//
// With shards, a batch holds equally many rows of each: shard by shard, each in epochs of its own, so that ranks
// that serve them make, side by side, the batch that one rank would have made of all. A sample comes once in an
// epoch of its shard. Where the shards do not divide the samples, those with one less are one ahead after each
// epoch: rows may lie with one rank alone, so no other shard can wait for them or take their place.
#pragma once

#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "crema/data/sample_order.hpp"
#include "crema/data/transformer.hpp"

namespace crema::inline CREMA_ABI {

struct BatcherOptions {
  std::int64_t batch = 1;
  Phase phase = Phase::train;
  std::uint64_t seed = 0;
  bool shuffle = false, wrap = true;
  Shards shards = {};
  std::size_t ahead = 3;                       // batches prepared in advance
  std::shared_ptr<const MeanImage> mean = {};  // of the transformation's mean_file
};

struct Batch {
  std::int64_t size = 0, cursor = 0;  // samples; the cursor of the first
  std::vector<float> data, labels;
};

class Batcher {
 public:
  /// Throws SpecError, ShapeError or DataError for options that do not fit the dataset.
  Batcher(std::shared_ptr<const Dataset> dataset, const TransformationOptions& transform,
          const BatcherOptions& options)
      : dataset_(std::move(dataset)),
        options_(options),
        transformer_(transform, dataset_->sample_shape(), options.phase, options.seed, options.mean) {
    if (options.batch <= 0) throw SpecError(cat("batch_size must be above 0, not ", options.batch));
    if (dataset_->size() == 0) throw DataError(cat(dataset_->name(), ": a dataset without samples"));
    check_shards();
    if (options.ahead == 0) throw SpecError("a Batcher prepares one batch ahead at least");
    orders_.resize(static_cast<std::size_t>(options.shards.count));
    slots_.resize(options.ahead + 1);  // one is with the caller
    thread_ = std::thread([this] { run(); });
  }
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;
  ~Batcher() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

  /// N,C,H,W of a full batch.
  Shape shape() const {
    const Shape& s = transformer_.shape();
    return {options_.batch, s[0], s[1], s[2]};
  }
  const Dataset& dataset() const { return *dataset_; }
  const BatcherOptions& options() const { return options_; }

  /// The next batch, valid until the next call of next() or seek(). Rethrows what went wrong while it was
  /// made.
  const Batch& next() {
    std::unique_lock lock(mutex_);
    if (lent_) ++taken_, lent_ = false;
    wake_.notify_all();
    wake_.wait(lock, [&] { return made_ > taken_ || error_; });
    if (made_ == taken_) std::rethrow_exception(error_);
    lent_ = true;
    return slots_[taken_ % slots_.size()];
  }

  /// The next batch begins with sample number `cursor` since the start of training.
  void seek(std::int64_t cursor) {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] { return !making_; });
    made_ = taken_ = 0, lent_ = false, error_ = nullptr, cursor_ = cursor;
    ++generation_;
    wake_.notify_all();
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return stop_ || (!error_ && made_ - taken_ < slots_.size()); });
      if (stop_) return;
      Batch& b = slots_[made_ % slots_.size()];
      const std::int64_t cursor = cursor_;
      const std::uint64_t generation = generation_;
      making_ = true;
      lock.unlock();
      std::exception_ptr error;
      try {
        make(b, cursor);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      making_ = false;
      if (generation == generation_) {
        if (error)
          error_ = error;
        else
          ++made_, cursor_ = cursor + b.size;
      }
      wake_.notify_all();
    }
  }

  void check_shards() const {
    const Shards& s = options_.shards;
    if (s.total < 1 || s.count < 1 || s.first < 0 || s.first + s.count > s.total)
      throw SpecError(cat("shards ", s.first, " to ", s.first + s.count - 1, " of ", s.total));
    if (options_.batch % s.count != 0)
      throw SpecError(cat("a batch of ", options_.batch, " samples does not divide into rows of ", s.count,
                          " shards: make batch_size a multiple"));
    if (s.total == 1) return;
    if (!options_.wrap) throw SpecError("only a source without end has shards");
    if (s.total > dataset_->size())
      throw DataError(cat(dataset_->name(), ": ", dataset_->size(), " samples for ", s.total, " shards"));
  }

  /// Where row `row` of the batch that begins at `cursor` comes from.
  struct Row {
    std::int64_t epoch, index;
  };
  Row row_at(std::int64_t cursor, std::int64_t row) {
    const Shards& s = options_.shards;
    const std::int64_t rows = options_.batch / s.count, at = cursor / s.count + row % rows;
    const auto own = static_cast<std::size_t>(row / rows);
    const int shard = s.first + static_cast<int>(own);
    const std::int64_t n = (dataset_->size() - shard + s.total - 1) / s.total, epoch = at / n;
    Order& o = orders_[own];
    if (epoch != o.epoch)
      o = {epoch, sample_order(dataset_->size(), options_.seed, epoch, shard, s.total, options_.shuffle)};
    return {epoch, o.samples[static_cast<std::size_t>(at % n)]};
  }

  void make(Batch& b, std::int64_t cursor) {
    const std::int64_t n = dataset_->size(), pixels = transformer_.shape().size();
    b.cursor = cursor;
    b.size = options_.wrap ? options_.batch : std::max<std::int64_t>(0, std::min(options_.batch, n - cursor));
    b.data.resize(static_cast<std::size_t>(b.size * pixels)),
        b.labels.resize(static_cast<std::size_t>(b.size));
    for (std::int64_t i = 0; i < b.size; ++i) {
      const auto [epoch, index] = row_at(cursor, i);
      dataset_->read(index, sample_);
      transformer_.apply(sample_, epoch, index, b.data.data() + i * pixels);
      b.labels[static_cast<std::size_t>(i)] = sample_.label;
    }
  }

  std::shared_ptr<const Dataset> dataset_;
  BatcherOptions options_;
  Transformer transformer_;
  // Owned by the thread while it makes a batch:
  struct Order {
    std::int64_t epoch = -1;
    std::vector<std::int64_t> samples;
  };
  std::vector<Order> orders_;  // of each own shard
  Sample sample_;
  // Under the mutex:
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Batch> slots_;
  std::size_t made_ = 0, taken_ = 0;  // batches finished, batches given back
  bool lent_ = false, stop_ = false, making_ = false;
  std::uint64_t generation_ = 0;
  std::int64_t cursor_ = 0;
  std::exception_ptr error_;
  std::thread thread_;
};

}  // namespace crema
