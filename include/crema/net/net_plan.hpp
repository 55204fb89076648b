// SPDX-License-Identifier: Apache-2.0
// NetPlan: a net before it has memory: which blobs there are, in which order they lie, which gradients are
// wanted, what works in place. A pure function of the spec and the layers' plans; no scalar, no backend.
//
// A NetPlan::Blob is one *version* of a named blob: a layer that works in place makes a new version under the
// old name. A blob lies in its producer's order (its home order). If one consumer wants the other order, a
// copy is kept in that order too, one at most; the net converts data after the producer and diff before it.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crema/net/filter.hpp"
#include "crema/net/parameters.hpp"
#include "crema/net/plan.hpp"

namespace crema::inline CREMA_ABI {

struct NetOptions {
  Phase phase = Phase::train;
  int level = 0;
  std::vector<std::string> stages = {};
  std::vector<std::string> keep =
      {};                  // blobs to keep readable in a TEST net, whose memory is otherwise used again
  bool canonical = false;  // everything in N,C,H,W: slow, the oracle of tests
  std::uint64_t seed = 0;  // of the fillers
};

struct NetPlan {
  struct Use {
    int layer, bottom;
  };
  struct Blob {
    std::string name;
    int producer = 0, top = 0;  // layer, and which of its tops
    Shape shape;                // capacity
    TopPlan::Kind kind = TopPlan::value;
    double loss_weight = 0;
    std::vector<Use> uses;
    Order home = Order::canonical;
    bool other = false;        // a copy in the other order is kept too
    bool gradient = false;     // it has a diff
    int in_place_of = -1;      // the blob whose memory it takes over
    bool overwritten = false;  // another blob takes over its memory
  };
  struct Layer {
    LayerSpec spec = {};
    Plan plan = {};
    std::vector<int> bottom = {}, top = {};    // blobs
    std::vector<Order> bottom_order = {};      // what it gets
    std::vector<bool> wanted = {};             // which bottoms get a gradient
    std::vector<int> params = {}, state = {};  // segments
    bool backward = false;
  };
  std::vector<Blob> blobs = {};
  std::vector<Layer> layers = {};
  std::vector<int> inputs = {};   // blobs of Input layers, in order
  std::vector<int> outputs = {};  // losses and metrics, by name as Caffe numbers them
  std::vector<Segment> segments = {};
  std::vector<StateSegment> state = {};
  Order order = Order::canonical;  // the net's order
  Phase phase = Phase::train;
};

/// How a plan asks the registry, with scalar and backend erased.
struct Planner {
  const void* registry;
  Plan (*plan)(const void* registry, const LayerSpec&, std::span<const Shape>);
};

/// Plans a net. `inputs`, if given, replaces the shapes of the Input layers' tops, in order. `native`:
/// whether the backend has a native order. Throws SpecError or ShapeError with the layer, file and line.
CREMA_INLINE NetPlan plan_net(const NetSpec& spec, const Planner& planner, const NetOptions& options,
                              bool native, std::span<const Shape> inputs = {});

namespace detail {
/// A layer as messages name it.
CREMA_INLINE std::string describe(const LayerSpec& s, const std::string& file);
}  // namespace detail

#if CREMA_BODIES
namespace detail {

CREMA_INLINE std::string describe(const LayerSpec& s, const std::string& file) {
  std::string out = cat("layer '", s.name, "' (", s.type, ")");
  if (s.where.line > 0)
    out += cat(", ", file.empty() ? "prototxt" : file, ":", s.where.line, ":", s.where.column);
  return out;
}

class NetPlanner {
 public:
  NetPlanner(const NetSpec& spec, const Planner& planner, const NetOptions& options,
             std::span<const Shape> inputs)
      : spec_(spec), planner_(planner), options_(options), input_shapes_(inputs) {}

  CREMA_COLD NetPlan run(bool native) {
    out_.phase = options_.phase;
    for (const LayerSpec& layer : spec_.layers) {
      try {
        add(layer);
      } catch (Error& e) {
        e.add_context(describe(layer, spec_.file));
        throw;
      }
    }
    if (!input_shapes_.empty() && input_shapes_.size() != out_.inputs.size())
      throw ShapeError(cat("the net has ", out_.inputs.size(), " inputs, but ", input_shapes_.size(),
                           " shapes were given"));
    choose_orders(native);
    choose_gradients();
    choose_in_place();
    for (std::size_t i = 0; i < out_.blobs.size(); ++i)
      if (out_.blobs[i].kind == TopPlan::loss || out_.blobs[i].kind == TopPlan::metric) {
        out_.outputs.push_back(static_cast<int>(i));
        for (std::size_t k = out_.outputs.size() - 1; k > 0; --k)
          if (blob(out_.outputs[k]).name < blob(out_.outputs[k - 1]).name)
            std::swap(out_.outputs[k], out_.outputs[k - 1]);
      }
    return std::move(out_);
  }

 private:
  NetPlan::Blob& blob(int i) { return out_.blobs[static_cast<std::size_t>(i)]; }
  NetPlan::Layer& layer(int i) { return out_.layers[static_cast<std::size_t>(i)]; }

  int find(const std::string& name) {
    for (std::size_t i = out_.blobs.size(); i-- > 0;)
      if (out_.blobs[i].name == name) return static_cast<int>(i);
    return -1;
  }

  CREMA_COLD void add(const LayerSpec& spec) {
    const int index = static_cast<int>(out_.layers.size());
    NetPlan::Layer l{.spec = spec,
                     .plan = {},
                     .bottom = {},
                     .top = {},
                     .bottom_order = {},
                     .wanted = {},
                     .params = {},
                     .state = {}};
    std::vector<Shape> shapes;
    for (std::size_t j = 0; j < spec.bottom.size(); ++j) {
      const int b = find(spec.bottom[j]);
      if (b < 0) throw SpecError(unknown_blob(spec.bottom[j]));
      blob(b).uses.push_back({index, static_cast<int>(j)});
      l.bottom.push_back(b);
      shapes.push_back(blob(b).shape);
    }
    l.plan = planner_.plan(planner_.registry, spec, shapes);
    if (spec.type == "Input")
      for (TopPlan& t : l.plan.top)
        if (const std::size_t i = inputs_seen_++; i < input_shapes_.size()) t.shape = input_shapes_[i];
    for (std::size_t i = l.spec.top.size(); i < l.plan.top.size(); ++i)
      l.spec.top.push_back(spec.name);  // Caffe's automatic tops
    if (l.spec.top.size() != l.plan.top.size())
      throw SpecError(cat("it makes ", l.plan.top.size(), " tops, but the spec names ", spec.top.size()));
    for (std::size_t i = 0; i < l.plan.top.size(); ++i) add_top(l, index, i);
    add_params(l);
    for (const StatePlan& s : l.plan.state) {
      const std::size_t offset =
          out_.state.empty() ? 0
                             : out_.state.back().offset +
                                   padded(static_cast<std::size_t>(out_.state.back().plan.shape.size()));
      l.state.push_back(static_cast<int>(out_.state.size()));
      out_.state.push_back({spec.name, offset, s});
    }
    out_.layers.push_back(std::move(l));
  }

  CREMA_COLD void add_top(NetPlan::Layer& l, int index, std::size_t i) {
    const TopPlan& t = l.plan.top[i];
    const std::string& name = l.spec.top[i];
    if (const int old = find(name); old >= 0) {
      const auto same = std::find(l.spec.bottom.begin(), l.spec.bottom.end(), name);
      if (same == l.spec.bottom.end())
        throw SpecError(cat("blob '", name, "' is already made by layer '", layer_name(old, index, l),
                            "': rename this top"));
      if (t.in_place_of != same - l.spec.bottom.begin())
        throw SpecError(cat("it cannot work in place: give its top another name than '", name, "'"));
    }
    NetPlan::Blob b;
    b.name = name, b.producer = index, b.top = static_cast<int>(i), b.shape = t.shape, b.kind = t.kind;
    b.loss_weight = t.loss_weight;
    if (i < l.spec.loss_weight.size()) {
      b.loss_weight = l.spec.loss_weight[i];
      if (b.loss_weight != 0 && t.kind != TopPlan::loss)
        throw SpecError(cat("loss_weight on top '", name, "', which is no loss: only loss layers take one"));
    }
    if (l.spec.type == "Input") out_.inputs.push_back(static_cast<int>(out_.blobs.size()));
    l.top.push_back(static_cast<int>(out_.blobs.size()));
    out_.blobs.push_back(std::move(b));
  }

  const std::string& layer_name(int blob_index, int index, const NetPlan::Layer& current) {
    const int p = blob(blob_index).producer;
    return p == index ? current.spec.name : layer(p).spec.name;
  }

  CREMA_COLD std::string unknown_blob(const std::string& name) {
    std::string known;
    for (const auto& b : out_.blobs)
      if (known.find(cat("'", b.name, "'")) == std::string::npos)
        known += cat(known.empty() ? "'" : ", '", b.name, "'");
    return cat("no layer before it makes the blob '", name, "'; there are: ", known.empty() ? "none" : known);
  }

  CREMA_COLD void add_params(NetPlan::Layer& l) {
    if (l.spec.param.size() > l.plan.params.size())
      throw SpecError(
          cat("it has ", l.plan.params.size(), " parameters, but ", l.spec.param.size(), " `param` entries"));
    for (const NetPlan::Layer& other : out_.layers)
      if (&other != &l && !other.params.empty() && !l.plan.params.empty() && other.spec.name == l.spec.name)
        throw SpecError("two layers with weights have this name: rename one, weights are found by it");
    for (std::size_t i = 0; i < l.plan.params.size(); ++i) {
      const ParamPlan& p = l.plan.params[i];
      Segment s{l.spec.name, p.name,    {},           0,       static_cast<std::size_t>(p.shape.size()),
                p.shape,     p.lr_mult, p.decay_mult, p.filler};
      if (i < l.spec.param.size()) {
        const ParamSpec& given = l.spec.param[i];
        s.shared_name = given.name, s.lr_mult = given.lr_mult, s.decay_mult = given.decay_mult;
        if (const int owner = shared(given, s, l); owner >= 0) {
          l.params.push_back(owner);
          continue;
        }
      }
      if (!out_.segments.empty()) s.offset = out_.segments.back().offset + padded(out_.segments.back().count);
      l.params.push_back(static_cast<int>(out_.segments.size()));
      out_.segments.push_back(std::move(s));
    }
  }

  /// The segment that owns a name, or -1. Throws SpecError where shapes or multipliers disagree.
  CREMA_COLD int shared(const ParamSpec& given, const Segment& s, const NetPlan::Layer&) {
    if (given.name.empty()) return -1;
    for (std::size_t k = 0; k < out_.segments.size(); ++k) {
      const Segment& o = out_.segments[k];
      if (o.shared_name != given.name) continue;
      const bool fits = given.share_mode == ShareMode::permissive ? o.count == s.count : o.shape == s.shape;
      if (!fits)
        throw SpecError(cat("parameter '", given.name, "' is shared with layer '", o.layer,
                            "', but the shapes differ: ", s.shape, " and ", o.shape));
      if (o.lr_mult != s.lr_mult || o.decay_mult != s.decay_mult)
        throw SpecError(cat("parameter '", given.name, "' is shared with layer '", o.layer,
                            "', but lr_mult or decay_mult differ"));
      return static_cast<int>(k);
    }
    return -1;
  }

  CREMA_COLD void choose_orders(bool native) {
    std::int64_t capacity = 0;
    for (const int i : out_.inputs)
      if (blob(i).shape.rank() > 0) capacity = std::max(capacity, blob(i).shape[0]);
    const bool small = options_.phase == Phase::test && capacity <= 8;
    out_.order = native && !options_.canonical && !small ? Order::native : Order::canonical;
    const auto any = [](const std::vector<bool>& v, std::size_t i) { return i < v.size() && v[i]; };
    for (NetPlan::Layer& l : out_.layers) {
      for (std::size_t i = 0; i < l.top.size(); ++i) {
        NetPlan::Blob& b = blob(l.top[i]);
        if (any(l.plan.top_any_order, i) && l.plan.axis0_is_batch && has_native_order(b.shape))
          b.home = out_.order;
      }
      for (std::size_t j = 0; j < l.bottom.size(); ++j) {
        NetPlan::Blob& b = blob(l.bottom[j]);
        const bool follows =
            any(l.plan.bottom_any_order, j) && l.plan.axis0_is_batch && has_native_order(b.shape);
        const Order want = follows ? out_.order : Order::canonical;
        l.bottom_order.push_back(want);
        if (want != b.home) b.other = true;
      }
    }
  }

  CREMA_COLD void choose_gradients() {
    std::vector<bool> needs(out_.blobs.size(), false);
    const auto trains = [&](const NetPlan::Layer& l) {
      for (const int p : l.params)
        if (out_.segments[static_cast<std::size_t>(p)].lr_mult != 0) return true;
      return false;
    };
    for (NetPlan::Layer& l : out_.layers) {
      bool any = trains(l);
      for (std::size_t j = 0; j < l.bottom.size(); ++j) {
        bool want = needs[static_cast<std::size_t>(l.bottom[j])] || spec_.force_backward;
        if (j < l.spec.propagate_down.size()) want = l.spec.propagate_down[j];
        if (l.plan.no_gradient >> j & 1) want = false;
        l.wanted.push_back(want);
        any = any || want;
      }
      for (const int t : l.top) needs[static_cast<std::size_t>(t)] = any && blob(t).kind != TopPlan::detached;
    }
    if (options_.phase == Phase::test && !spec_.force_backward) return;
    for (std::size_t i = out_.layers.size(); i-- > 0;) {  // from the losses down
      NetPlan::Layer& l = out_.layers[i];
      bool reached = false;
      for (const int t : l.top)
        reached = reached || blob(t).gradient || (blob(t).kind == TopPlan::loss && blob(t).loss_weight != 0);
      bool asked = trains(l);
      for (const bool want : l.wanted) asked = asked || want;
      l.backward = reached && asked;
      for (std::size_t j = 0; l.backward && j < l.bottom.size(); ++j)
        if (l.wanted[j]) blob(l.bottom[j]).gradient = true;
    }
  }

  /// A top takes over its bottom's memory where nobody will miss what was there.
  CREMA_COLD void choose_in_place() {
    for (NetPlan::Layer& l : out_.layers)
      for (const int t : l.top) {
        NetPlan::Blob& top = blob(t);
        const int j = l.plan.top[static_cast<std::size_t>(top.top)].in_place_of;
        if (j < 0) continue;
        const int b = l.bottom[static_cast<std::size_t>(j)];
        NetPlan::Blob& bottom = blob(b);
        const NetPlan::Layer& producer = layer(bottom.producer);
        const bool asked = top.name == bottom.name;
        const bool kept = contains(options_.keep, bottom.name);
        const bool missed = (l.backward && reads(l.plan.backward_reads, Reads::bottom)) ||
                            (producer.backward && reads(producer.plan.backward_reads, Reads::top));
        if (bottom.uses.size() != 1 || bottom.other || producer.spec.type == "Input" || missed) continue;
        if (top.home != bottom.home || top.shape.size() != bottom.shape.size()) continue;
        if (!asked && (kept || options_.phase == Phase::train)) continue;
        top.in_place_of = b;
        bottom.overwritten = true;
      }
  }

  const NetSpec& spec_;
  const Planner& planner_;
  const NetOptions& options_;
  std::span<const Shape> input_shapes_;
  std::size_t inputs_seen_ = 0;
  NetPlan out_;
};

}  // namespace detail

CREMA_INLINE NetPlan plan_net(const NetSpec& spec, const Planner& planner, const NetOptions& options,
                              bool native, std::span<const Shape> inputs) {
  return detail::NetPlanner(spec, planner, options, inputs).run(native);
}
#endif

}  // namespace crema
