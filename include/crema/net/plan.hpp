// SPDX-License-Identifier: Apache-2.0
// Plan: what a layer asks for. A pure function of its spec
// and its bottoms' shapes; it knows no scalar and no backend.
//
//   static Plan plan(const LayerSpec& spec, std::span<const Shape> bottom) {
//     return {.top = {{.shape = bottom[0], .in_place_of = 0}},
//             .bottom_any_order = {true}, .top_any_order = {true},
//             .backward_reads = Reads::top};
//   }
//
// Layers declare, the net allocates: tops, parameters, state, workspace and scratchpad all belong to the net.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "crema/core/layout.hpp"
#include "crema/spec/layer_spec.hpp"

namespace crema::inline CREMA_ABI {

/// What backward looks at besides the diffs. It decides whether a layer may work in place and when memory is
/// free again.
enum class Reads : std::uint8_t { none = 0, bottom = 1, top = 2, both = 3 };
constexpr bool reads(Reads r, Reads what) { return (static_cast<int>(r) & static_cast<int>(what)) != 0; }

/// How ranks agree on state that is not learned.
enum class Merge : std::uint8_t { mean, sum, rank0 };

struct TopPlan {
  /// loss, metric: a scalar, which forward also reports as a Loss. detached: a value that passes no gradient
  /// on.
  enum Kind : std::uint8_t { value, loss, metric, detached };
  Shape shape = {};
  Kind kind = value;
  int in_place_of = -1;    // this top may share memory with that bottom
  double loss_weight = 0;  // Caffe's default: 1 for the first top of a loss layer
};

struct ParamPlan {
  std::string name = {};  // "weight", "bias"
  Shape shape = {};       // Caffe's, without padding
  FillerSpec filler = {};
  double lr_mult = 1, decay_mult = 1;  // defaults; the spec's `param` overrides them
  bool in_pieces = false;  // backward hands this gradient on where ParamGradient::sink asks for it
};

struct StatePlan {
  std::string name = {};
  Shape shape = {};
  Merge merge = Merge::mean;
};

struct Plan {
  /// The next parameter, in the order of Caffe's blobs; the reference is good until the next call.
  ParamPlan& add_param(std::string_view name, const Shape& shape, const FillerSpec& filler);

  std::vector<TopPlan> top = {};
  std::vector<ParamPlan> params = {};
  std::vector<StatePlan> state = {};
  /// Per blob: true if the layer takes the net's order, whichever that is (native or canonical); false or
  /// missing: it wants canonical, and the net converts. A layer that says nothing needs to know nothing of
  /// orders.
  std::vector<bool> bottom_any_order = {}, top_any_order = {};
  Reads backward_reads = Reads::both;
  std::uint32_t no_gradient = 0;  // bit i: bottom i never gets a gradient (labels)
  bool axis0_is_batch = true;     // false: no short batches, canonical only
};

/// Memory a layer wants once layouts are known, in bytes.
struct Needs {
  std::size_t workspace = 0;            // kept from forward to backward, its own
  std::size_t scratchpad = 0;           // for the time of one call, shared by all layers
  std::size_t backward_scratchpad = 0;  // the same for backward(), in nets that have one
};

/// A blob as it will be: its capacity and how it lies in memory.
struct Slot {
  Shape shape = {};
  Layout layout = {};
};

/// Throws SpecError unless the layer has as many bottoms as it takes. Call it first in plan().
CREMA_INLINE void check_bottoms(const LayerSpec& spec, std::size_t got, std::size_t least, std::size_t most);
/// The same for tops, which only the spec counts.
CREMA_INLINE void check_tops(const LayerSpec& spec, std::size_t least, std::size_t most);

#if CREMA_BODIES
CREMA_INLINE ParamPlan& Plan::add_param(std::string_view name, const Shape& shape, const FillerSpec& filler) {
  ParamPlan& p = params.emplace_back();
  p.name = name, p.shape = shape, p.filler = filler;
  return p;
}
CREMA_INLINE void check_bottoms(const LayerSpec& spec, std::size_t got, std::size_t least, std::size_t most) {
  if (got >= least && got <= most) return;
  throw SpecError(cat(spec.type, " takes ", least, least == most ? std::string() : cat(" to ", most),
                      most == 1 ? " bottom" : " bottoms", ", not ", got));
}
CREMA_INLINE void check_tops(const LayerSpec& spec, std::size_t least, std::size_t most) {
  if (spec.top.size() >= least && spec.top.size() <= most) return;
  throw SpecError(cat(spec.type, " makes ", least, least == most ? std::string() : cat(" to ", most),
                      most == 1 ? " top" : " tops", ", not ", spec.top.size()));
}
#endif

}  // namespace crema
