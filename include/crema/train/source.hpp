// SPDX-License-Identifier: Apache-2.0
// BatchSource: where the batches of a net come from. DatasetSource: a Batcher behind that interface.
//
//   DatasetSource<float> source(dataset, {.scale = 1 / 256.f}, {.batch = 64, .shuffle = true}, "data", "label");
//   feed(net, source.next());
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "crema/data/batcher.hpp"
#include "crema/net/net.hpp"
#include "crema/spec/text_printer.hpp"

namespace crema::inline CREMA_ABI {

/// One input of a net for one batch: canonical order, host memory.
template <class T>
struct BatchTop {
  std::string name;
  Shape shape;  // axis 0 is the number of samples
  std::span<const T> values;
};

template <class T>
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  /// Samples in a full batch.
  virtual std::int64_t batch() const = 0;
  /// The next batch, valid until the next call. Axis 0 is 0 where there is nothing left.
  virtual std::span<const BatchTop<T>> next() = 0;
  /// The next batch begins with sample number `sample` since the start of the job.
  virtual void seek(std::int64_t sample) = 0;
  /// A hash of what the ranks of a job must have alike: the data and what is done to them.
  virtual std::uint64_t fingerprint() const { return 0; }
};

/// Samples in a batch.
template <class T>
std::int64_t samples(std::span<const BatchTop<T>> tops) {
  return tops.empty() || tops[0].shape.rank() == 0 ? 0 : tops[0].shape[0];
}

/// Writes a batch into the net's inputs; a short one makes the net short. Throws SpecError for a top that is
/// no input of the net, or an input that no top fills.
template <class T, class B>
void feed(Net<T, B>& net, std::span<const BatchTop<T>> tops) {
  const auto inputs = net.inputs();
  std::array<Shape, 16> shapes;
  if (inputs.size() > shapes.size())
    throw SpecError(cat("a net of ", inputs.size(), " inputs; 16 can be fed"));
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const auto same = [&](const BatchTop<T>& t) { return t.name == inputs[i].name; };
    const auto top = std::find_if(tops.begin(), tops.end(), same);
    if (top == tops.end())
      throw SpecError(
          cat("nothing fills the net's input '", inputs[i].name, "': give its source a top of that name"));
    shapes[i] = top->shape;
  }
  net.reshape({shapes.data(), inputs.size()});
  for (const BatchTop<T>& t : tops) net.write(t.name, t.values);
}

/// The first `axes` extents. Throws ShapeError unless the others are 1.
inline Shape first_axes(const Shape& s, int axes) {
  if (axes < s.rank() && s.count(axes) != 1)
    throw ShapeError(cat("a blob of ", axes, " axes cannot hold a batch of ", s));
  return Shape(s.extents().first(static_cast<std::size_t>(std::min(axes, s.rank()))));
}

/// A dataset's pixels and labels as two tops; no label top if its name is empty. Of C, H, W the data top has the
/// first `axes` behind the batch axis; the others are 1.
template <class T>
class DatasetSource final : public BatchSource<T> {
 public:
  DatasetSource(std::shared_ptr<const Dataset> dataset, const TransformationOptions& transform,
                const BatcherOptions& options, std::string data_top, std::string label_top, int axes = 3)
      : batcher_(std::move(dataset), transform, options), shape_(first_axes(batcher_.shape(), axes + 1)) {
    TransformationOptions t = transform;
    t.mean_file.reset();  // a path may be another on each host
    fingerprint_ = hash_name(cat(batcher_.dataset().size(), " of ", batcher_.dataset().sample_shape(), ", ",
                                 options.shards.total, " shards, ", print(t)));
    if (const MeanImage* const m = options.mean.get())
      fingerprint_ = hash_name(
          {reinterpret_cast<const char*>(m->values.data()), m->values.size() * sizeof(float)}, fingerprint_);
    tops_.push_back({std::move(data_top), {}, {}});
    if (!label_top.empty()) tops_.push_back({std::move(label_top), {}, {}});
  }

  std::int64_t batch() const override { return batcher_.options().batch; }
  const Batcher& batcher() const { return batcher_; }
  std::uint64_t fingerprint() const override { return fingerprint_; }
  void seek(std::int64_t sample) override { batcher_.seek(sample); }
  std::span<const BatchTop<T>> next() override {
    const Batch& b = batcher_.next();
    set(tops_[0], shape_.with(0, b.size), b.data, data_);
    if (tops_.size() > 1) set(tops_[1], Shape{b.size}, b.labels, labels_);
    return tops_;
  }

 private:
  static void set(BatchTop<T>& top, const Shape& shape, const std::vector<float>& values,
                  std::vector<T>& own) {
    top.shape = shape;
    if constexpr (std::same_as<T, float>) {
      top.values = values;
    } else {
      own.assign(values.begin(), values.end());
      top.values = own;
    }
  }

  Batcher batcher_;
  Shape shape_;
  std::uint64_t fingerprint_ = 0;
  std::vector<BatchTop<T>> tops_;
  std::vector<T> data_, labels_;  // converted, where T is not float
};

/// Several sources as one: their tops side by side. All must give batches of one size.
template <class T>
class JoinedSource final : public BatchSource<T> {
 public:
  explicit JoinedSource(std::vector<std::unique_ptr<BatchSource<T>>> sources) : sources_(std::move(sources)) {
    if (sources_.empty()) throw SpecError("the net has no data layer: give it a source of batches");
    for (const auto& s : sources_)
      if (s->batch() != batch())
        throw SpecError(
            cat("data layers of one net with batches of ", batch(), " and ", s->batch(), " samples"));
  }
  std::int64_t batch() const override { return sources_.front()->batch(); }
  void seek(std::int64_t sample) override {
    for (const auto& s : sources_) s->seek(sample);
  }
  std::uint64_t fingerprint() const override {
    std::uint64_t h = 0;
    for (const auto& s : sources_) h = hash_name(cat(h, " ", s->fingerprint()));
    return h;
  }
  std::span<const BatchTop<T>> next() override {
    tops_.clear();
    for (const auto& s : sources_)
      for (const BatchTop<T>& t : s->next()) tops_.push_back(t);
    return tops_;
  }

 private:
  std::vector<std::unique_ptr<BatchSource<T>>> sources_;
  std::vector<BatchTop<T>> tops_;
};

}  // namespace crema::inline CREMA_ABI
