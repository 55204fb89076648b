// SPDX-License-Identifier: Apache-2.0
// The bodies of net/net.hpp, which is the header to include:
// how a Net gets its memory and its views, and a step.
#pragma once

#include "crema/net/net.hpp"

namespace crema::inline CREMA_ABI {

template <class T, class B>
Net<T, B>::Net(B& b, const NetSpec& spec, const Registry<T, B>& registry, NetOptions options,
               std::shared_ptr<Parameters<T, B>> shared)
    : backend_(b),
      registry_(registry),
      options_(std::move(options)),
      spec_(filter(spec, {options_.phase, options_.level, options_.stages})),
      parameters_(std::move(shared)) {
  build({});
}
template <class T, class B>
Net<T, B>::~Net() = default;

template <class T, class B>
void Net<T, B>::build(std::span<const Shape> input_shapes) {
  plan_ = plan_net(spec_, planner(), options_, native(), input_shapes);
  if (!parameters_) make_parameters();
  share_parameters();
  const bool first = nodes_.empty();
  if (first) nodes_.resize(plan_.layers.size());
  if (first)
    for (std::size_t i = 0; i < nodes_.size(); ++i)
      nodes_[i].layer = registry_.find(plan_.layers[i].spec).make(plan_.layers[i].spec);
  inputs_.clear(), outputs_.clear(), live_.clear();
  for (const int i : plan_.inputs) inputs_.push_back({blob(i).name, blob(i).shape});
  for (const int i : plan_.outputs) outputs_.push_back({blob(i).name, blob(i).kind, blob(i).loss_weight});
  losses_.assign(outputs_.size(), {});
  allocate();
  live_.push_back(live(plan_));
  bind(live_.front());
}

template <class T, class B>
void Net<T, B>::make_parameters() {
  parameters_ = std::make_shared<Parameters<T, B>>(backend_, plan_.segments, plan_.state);
  const std::span<T> w = parameters_->edit();
  for (const Segment& s : plan_.segments) {
    const std::vector<double> values = filled(s.filler, s.shape, options_.seed, cat(s.layer, "/", s.param));
    const std::vector<T> host(values.begin(), values.end());
    backend_.copy_in(w.data() + s.offset, host.data(), host.size() * sizeof(T));
  }
}

/// Finds each planned segment in parameters_.
template <class T, class B>
void Net<T, B>::share_parameters() {
  segment_of_.clear();
  for (const Segment& want : plan_.segments) {
    int found = -1;
    for (std::size_t k = 0; k < parameters_->segments().size() && found < 0; ++k) {
      const Segment& s = parameters_->segments()[k];
      const bool same = (s.layer == want.layer && s.param == want.param) ||
                        (!want.shared_name.empty() && s.shared_name == want.shared_name);
      if (!same) continue;
      if (s.shape != want.shape)
        throw ShapeError(cat("parameter '", want.param, "' of layer '", want.layer, "' has shape ",
                             want.shape, ", but the shared parameters have ", s.shape));
      found = static_cast<int>(k);
    }
    if (found < 0)
      throw SpecError(cat("layer '", want.layer, "' has a parameter '", want.param,
                          "' that the net whose parameters it shares does not have"));
    segment_of_.push_back(found);
  }
}

/// Asks every layer for its needs, then lays blobs, diffs, conversions and workspaces out in one arena.
template <class T, class B>
void Net<T, B>::allocate() {
  const int end = 2 * static_cast<int>(plan_.layers.size());
  const bool train = plan_.phase == Phase::train || spec_.force_backward;
  std::vector<MemoryPiece> pieces;
  std::vector<int> work(plan_.layers.size(), -1);
  std::size_t scratchpad = 0;
  for (std::size_t i = 0; i < plan_.layers.size(); ++i) {
    const NetPlan::Layer& l = plan_.layers[i];
    std::vector<Slot> bottom, top;
    for (std::size_t j = 0; j < l.bottom.size(); ++j)
      bottom.push_back({blob(l.bottom[j]).shape, dense_layout(blob(l.bottom[j]).shape, l.bottom_order[j])});
    for (const int t : l.top) top.push_back({blob(t).shape, dense_layout(blob(t).shape, blob(t).home)});
    const Needs needs = nodes_[i].layer->prepare(backend_, bottom, top);
    scratchpad = std::max({scratchpad, needs.scratchpad, l.backward ? needs.backward_scratchpad : 0});
    if (needs.workspace == 0) continue;
    work[i] = static_cast<int>(pieces.size());
    pieces.push_back({needs.workspace, 0, end});  // never shared: its bytes need not be finite numbers
  }
  const int scratch = static_cast<int>(pieces.size());
  pieces.push_back({scratchpad, 0, end});

  // Blobs: TRAIN keeps all data for backward and for readers, TEST only what is still to be read.
  struct Ids {
    int data = -1, other_data = -1, diff = -1, other_diff = -1;
  };
  std::vector<Ids> ids(plan_.blobs.size());
  readable_ = std::vector<bool>(plan_.blobs.size(), true);
  for (std::size_t i = 0; i < plan_.blobs.size(); ++i) {
    const NetPlan::Blob& v = plan_.blobs[i];
    int last = v.producer, last_backward = end;
    for (const NetPlan::Use& u : v.uses) {
      last = std::max(last, u.layer);
      if (layer(u.layer).wanted[static_cast<std::size_t>(u.bottom)] && layer(u.layer).backward)
        last_backward = std::min(last_backward, end - 1 - u.layer);
    }
    const bool input = layer(v.producer).spec.type == "Input";
    const bool kept = train || input || v.uses.empty() || detail::contains(options_.keep, v.name);
    const auto bytes = [&](Order o) {
      return static_cast<std::size_t>(storage_size(v.shape, dense_layout(v.shape, o))) * sizeof(T) + 64;
    };
    const Order other = v.home == Order::native ? Order::canonical : Order::native;
    const auto add = [&](Order o, int from, int to) {
      pieces.push_back({bytes(o), from, to});
      return static_cast<int>(pieces.size()) - 1;
    };
    const int from = input ? 0 : v.producer, to = kept ? end : last;
    readable_[i] = kept;
    if (v.in_place_of >= 0) {
      Ids& old = ids[static_cast<std::size_t>(v.in_place_of)];
      readable_[static_cast<std::size_t>(v.in_place_of)] = false;
      ids[i].data = old.data;
      MemoryPiece& p = pieces[static_cast<std::size_t>(old.data)];
      p.last = std::max(p.last, to);
      if (v.gradient && old.diff >= 0) {
        ids[i].diff = old.diff;
        MemoryPiece& d = pieces[static_cast<std::size_t>(old.diff)];
        d.first = std::min(d.first, last_backward);
      }
    } else {
      ids[i].data = add(v.home, from, to);
    }
    if (v.gradient && ids[i].diff < 0) ids[i].diff = add(v.home, last_backward, end - 1 - v.producer);
    if (!v.other) continue;
    ids[i].other_data = add(other, from, to);
    if (v.gradient) ids[i].other_diff = add(other, last_backward, end - 1 - v.producer);
  }

  arena_ = {};  // the old one first
  arena_ = Buffer<std::byte, B>(backend_, place(pieces));
  const auto offset = [&](int id) {
    return id < 0 ? std::size_t{0} : pieces[static_cast<std::size_t>(id)].offset;
  };
  places_.clear();
  for (const Ids& d : ids)
    places_.push_back({offset(d.data), offset(d.other_data), offset(d.diff), offset(d.other_diff)});
  for (std::size_t i = 0; i < nodes_.size(); ++i)
    if (work[i] >= 0)
      nodes_[i].workspace = {arena_.data() + offset(work[i]),
                             pieces[static_cast<std::size_t>(work[i])].bytes};
    else
      nodes_[i].workspace = {};
  scratchpad_ = {arena_.data() + offset(scratch), pieces[static_cast<std::size_t>(scratch)].bytes};
  bool any_backward = false;
  for (const auto& l : plan_.layers) any_backward = any_backward || l.backward;
  if (any_backward && gradients_.size() == 0)
    gradients_ = Buffer<T, B>(backend_, parameters_->values().size());
}

/// Whether a plan for other input shapes runs in this net's memory: equal but for fewer samples.
template <class T, class B>
bool Net<T, B>::fits(const NetPlan& p) const {
  if (p.blobs.size() != plan_.blobs.size() || p.order != plan_.order) return false;
  for (std::size_t i = 0; i < p.blobs.size(); ++i) {
    const Shape &s = p.blobs[i].shape, &c = plan_.blobs[i].shape;
    if (s == c) continue;
    if (s.rank() == 0 || s.rank() != c.rank() || s[0] > c[0] || s.with(0, c[0]) != c) return false;
    if (!plan_.layers[static_cast<std::size_t>(p.blobs[i].producer)].plan.axis0_is_batch) return false;
  }
  return true;
}

template <class T, class B>
typename Net<T, B>::Live Net<T, B>::live(const NetPlan& p) const {
  Live l;
  for (const int i : p.inputs) l.inputs.push_back(p.blobs[static_cast<std::size_t>(i)].shape);
  for (const auto& b : p.blobs) l.blobs.push_back(b.shape);
  return l;
}

/// Points every layer's views at the arena, with live shapes.
template <class T, class B>
void Net<T, B>::bind(const Live& l) {
  shapes_ = l.blobs;
  for (std::size_t i = 0; i < inputs_.size(); ++i) inputs_[i].shape = l.inputs[i];
  for (std::size_t i = 0; i < nodes_.size(); ++i) bind(static_cast<int>(i));
}

template <class T, class B>
void Net<T, B>::bind(int index) {
  const NetPlan::Layer& l = layer(index);
  Node& n = node(index);
  n.bottom.clear(), n.bottom_diff.clear(), n.top.clear(), n.top_data.clear(), n.top_diff.clear();
  n.params.clear(), n.param_diff.clear(), n.param_later.clear(), n.in_pieces.clear(), n.ready.clear();
  n.after_forward.clear(), n.before_backward.clear();
  n.loss.assign(l.top.size(), {}), n.loss_scale.assign(l.top.size(), 0);

  /// Whether another layer writes this gradient later in the net, that is, earlier in backward.
  const auto written_before = [&](int b, Order order) {
    for (const NetPlan::Use& u : blob(b).uses) {
      const NetPlan::Layer& c = layer(u.layer);
      const auto j = static_cast<std::size_t>(u.bottom);
      if (c.backward && c.wanted[j] && c.bottom_order[j] == order && u.layer > index) return true;
    }
    return false;
  };
  for (std::size_t j = 0; j < l.bottom.size(); ++j) {
    const int b = l.bottom[j];
    n.bottom.push_back(data(b, l.bottom_order[j]));
    Gradient<T, B> g;
    if (l.backward && l.wanted[j]) {
      g.view = diff(b, l.bottom_order[j]), g.wanted = true, g.add = written_before(b, l.bottom_order[j]);
      for (std::size_t k = 0; k < j; ++k)
        g.add = g.add || (l.bottom[k] == b && l.wanted[k]);  // one blob, two bottoms
    }
    n.bottom_diff.push_back(g);
  }
  for (const int t : l.top) {
    const NetPlan::Blob& v = blob(t);
    n.top.push_back(data(t, v.home));
    n.top_data.push_back(n.top.back());
    n.top_diff.push_back(v.gradient ? View<const T, B>(diff(t, v.home))
                                    : View<const T, B>{nullptr, shapes_[static_cast<std::size_t>(t)], {}});
    if (!v.other) continue;
    const Order other = v.home == Order::native ? Order::canonical : Order::native;
    n.after_forward.push_back({data(t, v.home), data(t, other)});
    bool other_written = false, home_written = false;
    for (const NetPlan::Use& u : v.uses) {
      const NetPlan::Layer& c = layer(u.layer);
      const auto j = static_cast<std::size_t>(u.bottom);
      if (!c.backward || !c.wanted[j]) continue;
      (c.bottom_order[j] == other ? other_written : home_written) = true;
    }
    if (v.gradient && other_written)
      n.before_backward.push_back({diff(t, other), diff(t, v.home), home_written});
  }
  for (std::size_t k = 0; k < l.params.size(); ++k) {
    const int p = segment_of_[static_cast<std::size_t>(l.params[k])];
    const Segment& s = parameters_->segments()[static_cast<std::size_t>(p)];
    const Segment& mine = plan_.segments[static_cast<std::size_t>(l.params[k])];
    n.params.push_back({parameters_->values().data() + s.offset, l.plan.params[k].shape, {}});
    ParamGradient<T, B> g;
    bool later_user = false, earlier_user = false;
    for (std::size_t i = 0; i < plan_.layers.size(); ++i)
      for (std::size_t q = 0; q < plan_.layers[i].params.size(); ++q) {
        if (!plan_.layers[i].backward || plan_.layers[i].params[q] != l.params[k]) continue;
        const bool after = static_cast<int>(i) > index || (static_cast<int>(i) == index && q < k);
        const bool before = static_cast<int>(i) < index || (static_cast<int>(i) == index && q > k);
        later_user = later_user || after, earlier_user = earlier_user || before;
      }
    if (l.backward && mine.lr_mult != 0) {
      g.view = {gradients_.data() + s.offset, l.plan.params[k].shape, {}}, g.wanted = true;
      g.first = s.offset;
      if (!earlier_user) n.ready.push_back(p);
    }
    n.in_pieces.push_back(g.wanted && l.plan.params[k].in_pieces && !earlier_user && !later_user);
    n.param_diff.push_back(g);
    n.param_later.push_back(later_user);
  }
  n.state = {};
  for (const StateSegment& have : parameters_->state_segments())
    if (have.layer == l.spec.name) {  // a layer's states lie side by side
      const std::size_t first = n.state.empty()
                                    ? have.offset
                                    : static_cast<std::size_t>(n.state.data() - parameters_->state().data());
      n.state = parameters_->state().subspan(
          first, have.offset + padded(static_cast<std::size_t>(have.plan.shape.size())) - first);
    }
}

template <class T, class B>
void Net<T, B>::reshape(std::span<const Shape> shapes) {
  bool same = shapes.size() == inputs_.size();
  for (std::size_t i = 0; same && i < shapes.size(); ++i) same = shapes[i] == inputs_[i].shape;
  if (same) return;
  for (const Live& l : live_)
    if (std::equal(shapes.begin(), shapes.end(), l.inputs.begin(), l.inputs.end())) return bind(l);
  NetPlan plan = plan_net(spec_, planner(), options_, native(), shapes);
  if (fits(plan)) {
    live_.push_back(live(plan));
    bind(live_.back());
  } else {
    build(shapes);
  }
}

template <class T, class B>
std::span<const Loss> Net<T, B>::forward(const Step& step, int first, int last) {
  for (int i = first; i < last; ++i) {
    Node& n = node(i);
    for (const int p : layer(i).params) {  // a failure here is no layer's
      const Segment& s =
          parameters_->segments()[static_cast<std::size_t>(segment_of_[static_cast<std::size_t>(p)])];
      parameters_->wait_for(s.offset, s.count);
    }
    try {
      if (step.cancel) step.cancel->check();
      n.layer->forward(backend_, {n.bottom, n.params, parameters_->version(), n.top, n.state, n.workspace,
                                  scratchpad_, step, n.loss});
    } catch (Error& e) {
      e.add_context(cat(detail::describe(layer(i).spec, spec_.file), " forward, iteration ", step.iteration));
      throw;
    }
    for (const Conversion& c : n.after_forward)
      convert(backend_, View<const T, B>(c.src), c.dst, ConvertOptions{});
  }
  for (std::size_t k = 0; k < outputs_.size(); ++k) {
    const NetPlan::Blob& o = blob(plan_.outputs[k]);
    losses_[k] = node(o.producer).loss[static_cast<std::size_t>(o.top)];
  }
  return losses_;
}

template <class T, class B>
void Net<T, B>::backward(const Step& step, std::span<const double> loss_scale, GradSink<T, B>& sink,
                         int first, int last) {
  if (loss_scale.size() != outputs_.size())
    throw ShapeError(
        cat("backward wants one loss_scale per output (", outputs_.size(), "), not ", loss_scale.size()));
  for (std::size_t k = 0; k < outputs_.size(); ++k) {
    const NetPlan::Blob& o = blob(plan_.outputs[k]);
    node(o.producer).loss_scale[static_cast<std::size_t>(o.top)] = loss_scale[k];
  }
  for (int i = last; i-- > first;) {
    Node& n = node(i);
    if (!layer(i).backward) continue;
    for (const Conversion& c : n.before_backward)
      convert(backend_, View<const T, B>(c.src), c.dst, ConvertOptions{c.add, DeadLanes::zero});
    for (std::size_t k = 0; k < n.param_diff.size(); ++k) {
      n.param_diff[k].add = sink.adds() || n.param_later[k];
      n.param_diff[k].sink = n.in_pieces[k] && !n.param_diff[k].add && sink.takes_pieces() ? &sink : nullptr;
    }
    try {
      if (step.cancel) step.cancel->check();
      n.layer->backward(backend_,
                        {n.bottom, n.top_data, n.params, parameters_->version(), n.top_diff, n.bottom_diff,
                         n.param_diff, n.workspace, scratchpad_, step, n.loss_scale});
    } catch (Error& e) {
      e.add_context(
          cat(detail::describe(layer(i).spec, spec_.file), " backward, iteration ", step.iteration));
      throw;
    }
    for (const int p : n.ready) {
      const Segment& s = parameters_->segments()[static_cast<std::size_t>(p)];
      if (std::any_of(n.param_diff.begin(), n.param_diff.end(),
                      [&](const ParamGradient<T, B>& g) { return g.sink && g.first == s.offset; }))
        continue;  // the layer has handed it on
      sink.take(backend_, s.offset, std::span<const T>(gradients_.data() + s.offset, s.count));
    }
  }
}

template <class T, class B>
void Net<T, B>::read(std::string_view name, std::span<T> host) {
  const int i = find(name);
  if (!readable_[static_cast<std::size_t>(i)])
    throw SpecError(cat("blob '", name, "' shares its memory with later blobs: name it in NetOptions::keep"));
  check_size(name, i, host.size());
  const View<const T, B> v = data(i, blob(i).home);
  if (v.layout.order == Order::canonical)
    backend_.copy_out(host.data(), v.data, host.size_bytes());
  else
    convert(backend_, v, View<T, B>{host.data(), v.shape, {}}, ConvertOptions{});
}

template <class T, class B>
void Net<T, B>::write(std::string_view name, std::span<const T> host) {
  const int i = find(name);
  check_size(name, i, host.size());
  const View<T, B> v = data(i, blob(i).home);
  if (v.layout.order == Order::canonical)
    backend_.copy_in(v.data, host.data(), host.size_bytes());
  else
    convert(backend_, View<const T, B>{host.data(), v.shape, {}}, v, ConvertOptions{});
}

}  // namespace crema
