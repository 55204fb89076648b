// SPDX-License-Identifier: Apache-2.0
// Net: a static graph of layers with all its memory. Batches
// come from outside, gradients leave through a sink.
//
//   Net<float, Cpu> net(cpu, spec, all_layers<float, Cpu>(), {.phase = Phase::train, .seed = 1});
//   net.write("data", pixels);  net.write("label", labels);
//   std::span<const Loss> loss = net.forward(step);
//   StoreGradients<float, Cpu> store;
//   net.backward(step, loss_scales(net.outputs(), loss), store);
//   net.gradients();                                            // d(objective) / d(parameters)
//
// The objective is the sum over losses of loss_weight * sum
// / weight. A step allocates nothing and plans nothing.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "crema/net/filler.hpp"
#include "crema/net/memory_plan.hpp"
#include "crema/net/net_plan.hpp"
#include "crema/net/registry.hpp"

namespace crema::inline CREMA_ABI {

/// Gradients stay where the layers wrote them: in the net's flat gradient buffer.
template <class T, class B>
class StoreGradients final : public GradSink<T, B> {
 public:
  void take(B&, std::size_t, std::span<const T>) override {}
};
/// Gradients are added to the flat gradient buffer: the second and later parts of iter_size.
template <class T, class B>
class AddGradients final : public GradSink<T, B> {
 public:
  bool adds() const override { return true; }
  void take(B&, std::size_t, std::span<const T>) override {}
};

template <class T, class B>
class Net {
 public:
  struct Blob {
    std::string name;
    Shape shape;  // live
  };
  struct Output {
    std::string name;
    TopPlan::Kind kind;
    double loss_weight;
  };

  /// Builds the net for options.phase, level and stages. With `shared`, its parameters are those of another
  /// net, found by layer name or shared name; without, they are made by the layers' fillers from
  /// options.seed. The backend must outlive the net. Throws SpecError or ShapeError with layer, file and
  /// line.
  Net(B& b, const NetSpec& spec, const Registry<T, B>& registry, NetOptions options = {},
      std::shared_ptr<Parameters<T, B>> shared = {});
  ~Net();
  Net(const Net&) = delete;
  Net& operator=(const Net&) = delete;

  std::span<const Blob> inputs() const { return inputs_; }
  /// Losses and metrics in Caffe's numbering: alphabetical by name. The Losses of forward() are parallel to
  /// it.
  std::span<const Output> outputs() const { return outputs_; }
  const NetPlan& plan() const { return plan_; }
  const NetSpec& spec() const { return spec_; }
  /// Bytes of activations, diffs, conversions, workspaces and scratchpad.
  std::size_t activation_bytes() const { return arena_.size(); }

  /// Sets the live input shapes, parallel to inputs(). Fewer samples than the capacity reuse the memory that
  /// there is; anything else plans anew. Parameters stay. Blobs must be written again.
  void reshape(std::span<const Shape> shapes);

  /// One pass from inputs to losses. Returns one Loss per output.
  std::span<const Loss> forward(const Step& step) {
    return forward(step, 0, static_cast<int>(nodes_.size()));
  }
  /// Layers [first, last) alone.
  std::span<const Loss> forward(const Step& step, int first, int last);

  /// The gradients of sum_k loss_scale[k] * outputs[k].sum. Needs a forward() of the same step before it.
  void backward(const Step& step, std::span<const double> loss_scale, GradSink<T, B>& sink) {
    backward(step, loss_scale, sink, 0, static_cast<int>(nodes_.size()));
  }
  /// Layers [first, last) alone, from the last to the first.
  void backward(const Step& step, std::span<const double> loss_scale, GradSink<T, B>& sink, int first,
                int last);

  const std::shared_ptr<Parameters<T, B>>& parameters() const { return parameters_; }
  /// The flat gradient buffer, parallel to parameters()->values().
  std::span<T> gradients() { return {gradients_.data(), gradients_.size()}; }

  /// The live shape of a blob.
  const Shape& shape(std::string_view name) const { return shapes_[static_cast<std::size_t>(find(name))]; }

  /// Copies a blob's data out, in canonical order, as many elements as shape(name).size().
  void read(std::string_view name, std::span<T> host);
  /// Copies canonical data into an input blob.
  void write(std::string_view name, std::span<const T> host);

 private:
  struct Conversion {
    View<T, B> src, dst;
    bool add = false;
  };
  struct Node {  // a layer with all its views
    std::unique_ptr<Layer<T, B>> layer;
    std::vector<View<const T, B>> bottom, top_data, params, top_diff;
    std::vector<View<T, B>> top;
    std::vector<Gradient<T, B>> bottom_diff;
    std::vector<ParamGradient<T, B>> param_diff;
    std::vector<bool> param_later;  // an earlier call of this backward has written that gradient already
    std::vector<bool> in_pieces;    // this layer may hand that gradient on by itself
    std::vector<int> ready;         // parameters whose gradient is final after this layer
    std::vector<Loss> loss;
    std::vector<double> loss_scale;
    std::span<T> state;
    std::span<std::byte> workspace;
    std::vector<Conversion> after_forward, before_backward;
  };
  struct Place {  // offsets of a blob in the arena, in bytes
    std::size_t data = 0, other_data = 0, diff = 0, other_diff = 0;
  };
  struct Live {
    std::vector<Shape> inputs, blobs;
  };

  const NetPlan::Blob& blob(int i) const { return plan_.blobs[static_cast<std::size_t>(i)]; }
  const NetPlan::Layer& layer(int i) const { return plan_.layers[static_cast<std::size_t>(i)]; }
  Node& node(int i) { return nodes_[static_cast<std::size_t>(i)]; }

  static constexpr bool native() { return B::has_native_order; }
  Planner planner() const {
    return {&registry_, [](const void* r, const LayerSpec& s, std::span<const Shape> bottom) {
              return static_cast<const Registry<T, B>*>(r)->find(s).plan(s, bottom);
            }};
  }

  int find(std::string_view name) const {
    for (std::size_t i = plan_.blobs.size(); i-- > 0;)
      if (plan_.blobs[i].name == name) return static_cast<int>(i);
    throw SpecError(cat("the net has no blob '", name, "'"));
  }
  void check_size(std::string_view name, int i, std::size_t n) const {
    const Shape& s = shapes_[static_cast<std::size_t>(i)];
    if (static_cast<std::int64_t>(n) != s.size())
      throw ShapeError(cat("blob '", name, "' has shape ", s, ", but ", n, " elements were given"));
  }

  CREMA_COLD void build(std::span<const Shape> input_shapes);
  CREMA_COLD void share_parameters();
  CREMA_COLD void make_parameters();
  CREMA_COLD void allocate();
  void bind(const Live&);
  CREMA_COLD void bind(int index);
  bool fits(const NetPlan&) const;
  Live live(const NetPlan&) const;
  View<T, B> data(int i, Order order) const {
    return view(i, order,
                order == blob(i).home ? places_[static_cast<std::size_t>(i)].data
                                      : places_[static_cast<std::size_t>(i)].other_data);
  }
  View<T, B> diff(int i, Order order) const {
    return view(i, order,
                order == blob(i).home ? places_[static_cast<std::size_t>(i)].diff
                                      : places_[static_cast<std::size_t>(i)].other_diff);
  }
  View<T, B> view(int i, Order order, std::size_t offset) const {
    return {reinterpret_cast<T*>(arena_.data() + offset), shapes_[static_cast<std::size_t>(i)],
            dense_layout(blob(i).shape, order)};
  }

  B& backend_;
  Registry<T, B> registry_;
  NetOptions options_;
  NetSpec spec_;
  NetPlan plan_;
  std::shared_ptr<Parameters<T, B>> parameters_;
  std::vector<int> segment_of_;  // per segment of the plan, the one in parameters_
  Buffer<T, B> gradients_;
  Buffer<std::byte, B> arena_;
  std::vector<Place> places_;
  std::vector<bool> readable_;
  std::span<std::byte> scratchpad_;
  std::vector<Node> nodes_;
  std::vector<Shape> shapes_;  // live, per blob
  std::vector<Live> live_;
  std::vector<Blob> inputs_;
  std::vector<Output> outputs_;
  std::vector<Loss> losses_;
};

/// loss_weight / weight for each loss: what backward()
/// wants on one rank with one part per step. Metrics get 0.
template <class Outputs>
void loss_scales(const Outputs& outputs, std::span<const Loss> losses, std::span<double> scale) {
  for (std::size_t k = 0; k < outputs.size(); ++k)
    scale[k] = outputs[k].kind == TopPlan::loss && losses[k].weight > 0
                   ? outputs[k].loss_weight / losses[k].weight
                   : 0;
}
template <class Outputs>
std::vector<double> loss_scales(const Outputs& outputs, std::span<const Loss> losses) {
  std::vector<double> scale(outputs.size());
  loss_scales(outputs, losses, scale);
  return scale;
}
/// The objective: sum over losses of loss_weight * value.
template <class Outputs>
double objective(const Outputs& outputs, std::span<const Loss> losses) {
  double total = 0;
  for (std::size_t k = 0; k < outputs.size(); ++k)
    if (outputs[k].kind == TopPlan::loss) total += outputs[k].loss_weight * losses[k].value();
  return total;
}

}  // namespace crema

#include "crema/net/net_body.hpp"  // the bodies

#if defined(CREMA_COMPILED)  // crema::compiled has them
namespace crema::inline CREMA_ABI {
extern template class Net<float, Cpu>;
extern template class Net<double, Cpu>;
}  // namespace crema
#endif
