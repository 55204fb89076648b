// SPDX-License-Identifier: Apache-2.0
// Parameters: all learned weights of a net in one flat buffer, in Caffe's order and shapes, the same on every
// backend and instruction set. The optimiser is one pass over it, an all-reduce is one range of it.
//
//   for (const Segment& s : net.parameters()->segments()) ...   // s.layer, s.param, s.offset, s.count
//   std::span<float> w = net.parameters()->edit();              // bumps version(): packed copies are stale
//
// Segments start at multiples of 16 elements; the gaps are zero and stay
// zero. The buffer is shared by a training net and its test nets. State
// that is not learned (BatchNorm's averages) lies in a buffer of its own.
//
// Weights may be on their way from other ranks while a net computes: whoever asks for values() or edit() waits
// for all of them, a net for each layer's before that layer.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "crema/core/random.hpp"
#include "crema/core/tensor.hpp"
#include "crema/net/plan.hpp"

namespace crema::inline CREMA_ABI {

struct Segment {
  std::string layer = {}, param = {};  // of its first user
  std::string shared_name = {};        // ParamSpec::name, if the weights are shared by name
  std::size_t offset = 0, count = 0;
  Shape shape = {};
  double lr_mult = 1, decay_mult = 1;
  FillerSpec filler = {};
};

struct StateSegment {
  std::string layer;
  std::size_t offset = 0;
  StatePlan plan;
};

/// Weights that are on their way.
class Arrivals {
 public:
  virtual ~Arrivals() = default;
  /// Waits for the elements [first, first + count). Throws CommError.
  virtual void wait_for(std::size_t first, std::size_t count) = 0;
};

/// Elements that a segment takes, padding included.
inline std::size_t padded(std::size_t count) { return (count + 15) / 16 * 16; }

template <class T, class B>
class Parameters {
 public:
  Parameters(B& b, std::vector<Segment> segments, std::vector<StateSegment> state = {})
      : segments_(std::move(segments)), state_segments_(std::move(state)) {
    if (!segments_.empty()) size_ = segments_.back().offset + padded(segments_.back().count);
    std::size_t states = 0;
    for (const auto& s : state_segments_)
      states = s.offset + padded(static_cast<std::size_t>(s.plan.shape.size()));
    values_ = Buffer<T, B>(b, size_), state_ = Buffer<T, B>(b, states);
  }

  const std::vector<Segment>& segments() const { return segments_; }
  const std::vector<StateSegment>& state_segments() const { return state_segments_; }
  std::span<const T> values() const {
    wait_for(0, size_);
    return {values_.data(), size_};
  }
  /// The values, for writing. Counts as a change: fetch the span anew for every change.
  std::span<T> edit() {
    wait_for(0, size_);
    ++version_;
    return {values_.data(), size_};
  }
  /// From now on readers wait for these, until they are forgotten.
  void expect(Arrivals* a) { arrivals_ = a; }
  void forget(const Arrivals* a) {
    if (arrivals_ == a) arrivals_ = nullptr;
  }
  void wait_for(std::size_t first, std::size_t count) const {
    if (arrivals_) arrivals_->wait_for(first, count);
  }
  std::uint64_t version() const { return version_; }
  std::span<T> state() { return {state_.data(), state_.size()}; }

  /// A hash of names, shapes and multipliers: equal on all ranks that train one net.
  std::uint64_t fingerprint() const {
    std::uint64_t h = hash_name("crema");
    for (const Segment& s : segments_)
      h = hash_name(
          cat(s.layer, "/", s.param, " ", s.shape, " ", s.offset, " ", s.lr_mult, " ", s.decay_mult), h);
    return h;
  }

 private:
  std::vector<Segment> segments_;
  std::vector<StateSegment> state_segments_;
  std::size_t size_ = 0;
  Buffer<T, B> values_, state_;
  std::uint64_t version_ = 1;
  Arrivals* arrivals_ = nullptr;
};

}  // namespace crema
