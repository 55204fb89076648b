// SPDX-License-Identifier: Apache-2.0
// Layer: one step of a net, forward and backward, over memory that the net owns.
//
// A layer class is a template over scalar and backend with
//
//   static constexpr std::string_view type = "ReLU";                              // Caffe's type string
//   static Plan plan(const LayerSpec&, std::span<const Shape> bottom);            // what it asks for
//   explicit ReLU(const LayerSpec&);
//   Needs prepare(B&, std::span<const Slot> bottom, std::span<const Slot> top);   // optional: run lists
//   void forward(B&, const Forward<T, B>&);
//   void backward(B&, const Backward<T, B>&);
//
// Axis 0 of every view is live: it may be less than what prepare saw. Nothing may allocate in forward or
// backward. Dead lanes (core/layout.hpp): forward leaves finite data in them, backward leaves zeros.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "crema/core/cancel.hpp"
#include "crema/core/tensor.hpp"
#include "crema/net/plan.hpp"

namespace crema::inline CREMA_ABI {

class Cpu;  // crema::compiled carries the layers of this backend

/// Where a job stands. All random numbers are drawn from
/// (seed, layer, iteration, part, global sample, element).
struct Step {
  Phase phase = Phase::train;
  std::uint64_t seed = 0;
  std::uint64_t iteration = 0;
  std::uint32_t part = 0;         // which of the iter_size passes
  std::int64_t first_sample = 0;  // position of this batch's sample 0 in the global batch
  const Cancel* cancel = nullptr;
};

/// A loss or metric as a weighted sum: value = sum / weight.
/// Sums and weights add over ranks, parts and batches.
struct Loss {
  double sum = 0, weight = 0;
  double value() const { return weight == 0 ? 0 : sum / weight; }
  Loss& operator+=(const Loss& o) {
    sum += o.sum, weight += o.weight;
    return *this;
  }
};

/// Who takes a finished piece of a parameter gradient.
template <class T, class B>
class GradSink {
 public:
  virtual ~GradSink() = default;
  /// Whether gradients are added to what the flat gradient buffer holds (later parts of iter_size).
  virtual bool adds() const { return false; }
  /// Whether take() may be called for parts of a parameter, from inside a region, with memory that is gone afterwards. Then
  /// a layer may hand a gradient on while it is in cache, and the flat buffer never sees it.
  virtual bool takes_pieces() const { return false; }
  /// What take() reads besides, parallel to the flat buffers (an optimiser's history), for a layer that fetches it ahead;
  /// may be null.
  virtual const T* reads() const { return nullptr; }
  /// The gradient of parameters [first, first + piece.size()) is final for this backward and lies in `piece`; nobody
  /// reads these parameters again in it.
  virtual void take(B&, std::size_t first, std::span<const T> piece) = 0;
};

template <class T, class B>
struct Forward {
  std::span<const View<const T, B>> bottom, params;
  std::uint64_t params_version;  // packed copies made at another version are stale
  std::span<const View<T, B>> top;
  std::span<T> state;
  std::span<std::byte> workspace, scratchpad;
  const Step& step;
  std::span<Loss> loss;  // one per top; a layer fills those of its loss and metric tops
};

template <class T, class B>
struct Gradient {
  View<T, B> view;
  bool wanted = false;
  bool add = false;  // += instead of =
};

template <class T, class B>
struct ParamGradient : Gradient<T, B> {
  /// Only where ParamPlan::in_pieces says so: the layer hands all of the gradient on, instead of the net, from `view` or
  /// from memory of its own. Its element 0 is number `first` of the flat buffer.
  GradSink<T, B>* sink = nullptr;
  std::size_t first = 0;
};

template <class T, class B>
struct Backward {
  std::span<const View<const T, B>> bottom, top,
      params;  // values; only those named by Plan::backward_reads are kept
  std::uint64_t params_version;
  std::span<const View<const T, B>> top_diff;  // empty view: no gradient arrives at that top
  std::span<const Gradient<T, B>> bottom_diff;
  std::span<const ParamGradient<T, B>> param_diff;
  std::span<const std::byte> workspace;
  std::span<std::byte> scratchpad;
  const Step& step;
  std::span<const double> loss_scale;  // per top of kind loss: d(objective) / d(Loss::sum)
};

template <class T, class B>
class Layer {
 public:
  virtual ~Layer() = default;
  virtual Needs prepare(B&, std::span<const Slot> /*bottom*/, std::span<const Slot> /*top*/) { return {}; }
  virtual void forward(B&, const Forward<T, B>&) = 0;
  virtual void backward(B&, const Backward<T, B>&) = 0;
};

/// What a registry knows of a layer type.
template <class T, class B>
struct LayerKind {
  std::string_view type;
  Plan (*plan)(const LayerSpec&, std::span<const Shape>);
  std::unique_ptr<Layer<T, B>> (*make)(const LayerSpec&);
};

template <class T, class B, class L>
LayerKind<T, B> layer_kind() {
  return {L::type, &L::plan,
          [](const LayerSpec& spec) {  // make_unique<L> would be one more class to compile for each L
            return std::unique_ptr<Layer<T, B>>(new L(spec));
          }};
}

}  // namespace crema
