// SPDX-License-Identifier: Apache-2.0
// NetSpec: a net as a value: prototxt, .caffemodel and C++ are three spellings of it.
//
//   NetSpec net{.name = "tiny", .layers = {layer("Input", "in", {}, {"x"}, InputOptions{.shape = {{{64, 2}}}}), ...}};
#pragma once

#include "crema/spec/layer_spec.hpp"

namespace crema::inline CREMA_ABI {

struct NetSpec {
  std::string name = {};
  std::vector<LayerSpec> layers = {};
  std::optional<NetState> state = {};
  bool force_backward = false, debug_info = false;
  // Legacy inputs, from before there were Input layers: with_input_layers() turns them into one.
  std::vector<std::string> input = {};
  std::vector<int> input_dim = {};
  std::vector<BlobShape> input_shape = {};
  Message other = {};     // what no schema knows, V1's `layers` included
  std::string file = {};  // where it was read from; not compared

  friend bool operator==(const NetSpec& a, const NetSpec& b) {
    return a.name == b.name && a.layers == b.layers && a.state == b.state &&
           a.force_backward == b.force_backward && a.debug_info == b.debug_info && a.input == b.input &&
           a.input_dim == b.input_dim && a.input_shape == b.input_shape && a.other == b.other;
  }
};

template <>
CREMA_INLINE const Schema& schema<NetSpec>();
#if CREMA_BODIES
template <>
CREMA_INLINE const Schema& schema<NetSpec>() {
  using M = NetSpec;
  static const Schema s{"NetParameter",
                        {field(1, "name", &M::name), field(3, "input", &M::input),
                         field(4, "input_dim", &M::input_dim), field(5, "force_backward", &M::force_backward),
                         field(6, "state", &M::state), field(7, "debug_info", &M::debug_info),
                         field(8, "input_shape", &M::input_shape), field(100, "layer", &M::layers)}};
  return s;
}
#endif

/// The same net with legacy `input` fields turned into an Input layer at the front, as Caffe does. Throws
/// SpecError when names and shapes do not match in number, and for V1 `layers`, which are not read yet.
CREMA_INLINE NetSpec with_input_layers(NetSpec net);
#if CREMA_BODIES
CREMA_INLINE NetSpec with_input_layers(NetSpec net) {
  for (const Field& f : net.other.fields)
    if (f.number == 2 || f.name == "layers")
      throw SpecError(
          "this is a V1 net (`layers`): turn it into `layer` with Caffe's upgrade_net_proto tools first");
  if (net.input.empty()) return net;
  InputOptions shapes{.shape = net.input_shape};
  if (shapes.shape.empty() && net.input_dim.size() == 4 * net.input.size())
    for (std::size_t i = 0; i < net.input_dim.size(); i += 4)
      shapes.shape.push_back({{net.input_dim.begin() + static_cast<std::ptrdiff_t>(i),
                               net.input_dim.begin() + static_cast<std::ptrdiff_t>(i) + 4}});
  if (shapes.shape.size() != net.input.size())
    throw SpecError(
        cat("the net names ", net.input.size(), " inputs: give as many input_shape, or four input_dim each"));
  std::vector<LayerSpec> layers;
  layers.push_back(layer("Input", "input", {}, net.input, shapes));
  for (LayerSpec& l : net.layers) layers.push_back(std::move(l));
  net.layers = std::move(layers);
  net.input.clear(), net.input_dim.clear(), net.input_shape.clear();
  return net;
}
#endif

}  // namespace crema::inline CREMA_ABI
