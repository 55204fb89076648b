// SPDX-License-Identifier: Apache-2.0
// The Caffe layer messages that crema reads and writes without having the layer: they pass through whole. One
// line each, nearly as in a .proto file, turned into a Schema when first asked for.
#pragma once

#include "crema/spec/layer_schema.hpp"

namespace crema::inline CREMA_ABI {

namespace detail {

struct OtherLayer {
  int number;  // in LayerParameter
  std::string_view field, message, fields;
};

#if CREMA_BODIES
inline constexpr OtherLayer other_layers[] = {
    {103, "argmax_param", "ArgMaxParameter", "bool out_max_val 1; uint32 top_k 2; int32 axis 3"},
    {104, "concat_param", "ConcatParameter", "uint32 concat_dim 1; int32 axis 2"},
    {105, "contrastive_loss_param", "ContrastiveLossParameter", "float margin 1; bool legacy_version 2"},
    {109, "dummy_data_param", "DummyDataParameter",
     "repeated FillerParameter data_filler 1; repeated uint32 num 2; repeated uint32 channels 3; "
     "repeated uint32 height 4; repeated uint32 width 5; repeated BlobShape shape 6"},
    {110, "eltwise_param", "EltwiseParameter",
     "enum{PROD=0,SUM=1,MAX=2} operation 1; repeated float coeff 2; bool stable_prod_grad 3"},
    {111, "exp_param", "ExpParameter", "float base 1; float scale 2; float shift 3"},
    {112, "hdf5_data_param", "HDF5DataParameter", "string source 1; uint32 batch_size 2; bool shuffle 3"},
    {113, "hdf5_output_param", "HDF5OutputParameter", "string file_name 1"},
    {114, "hinge_loss_param", "HingeLossParameter", "enum{L1=1,L2=2} norm 1"},
    {116, "infogain_loss_param", "InfogainLossParameter", "string source 1; int32 axis 2"},
    {120, "mvn_param", "MVNParameter", "bool normalize_variance 1; bool across_channels 2; float eps 3"},
    {122, "power_param", "PowerParameter", "float power 1; float scale 2; float shift 3"},
    {124, "sigmoid_param", "SigmoidParameter", "enum{DEFAULT=0,CAFFE=1,CUDNN=2} engine 1"},
    {126, "slice_param", "SliceParameter", "uint32 slice_dim 1; repeated uint32 slice_point 2; int32 axis 3"},
    {127, "tanh_param", "TanHParameter", "enum{DEFAULT=0,CAFFE=1,CUDNN=2} engine 1"},
    {128, "threshold_param", "ThresholdParameter", "float threshold 1"},
    {129, "window_data_param", "WindowDataParameter",
     "string source 1; float scale 2; string mean_file 3; uint32 batch_size 4; uint32 crop_size 5; "
     "bool mirror 6; float fg_threshold 7; float bg_threshold 8; float fg_fraction 9; "
     "uint32 context_pad 10; string crop_mode 11; bool cache_images 12; string root_folder 13"},
    {130, "python_param", "PythonParameter",
     "string module 1; string layer 2; string param_str 3; bool share_in_parallel 4"},
    {131, "prelu_param", "PReLUParameter", "FillerParameter filler 1; bool channel_shared 2"},
    {132, "spp_param", "SPPParameter",
     "uint32 pyramid_height 1; enum{MAX=0,AVE=1,STOCHASTIC=2} pool 2; "
     "enum{DEFAULT=0,CAFFE=1,CUDNN=2} engine 6"},
    {133, "reshape_param", "ReshapeParameter", "BlobShape shape 1; int32 axis 2; int32 num_axes 3"},
    {134, "log_param", "LogParameter", "float base 1; float scale 2; float shift 3"},
    {136, "reduction_param", "ReductionParameter",
     "enum{SUM=1,ASUM=2,SUMSQ=3,MEAN=4} operation 1; int32 axis 2; float coeff 3"},
    {137, "embed_param", "EmbedParameter",
     "uint32 num_output 1; uint32 input_dim 2; bool bias_term 3; FillerParameter weight_filler 4; "
     "FillerParameter bias_filler 5"},
    {138, "tile_param", "TileParameter", "int32 axis 1; int32 tiles 2"},
    {139, "batch_norm_param", "BatchNormParameter",
     "bool use_global_stats 1; float moving_average_fraction 2; float eps 3"},
    {140, "elu_param", "ELUParameter", "float alpha 1"},
    {141, "bias_param", "BiasParameter", "int32 axis 1; int32 num_axes 2; FillerParameter filler 3"},
    {142, "scale_param", "ScaleParameter",
     "int32 axis 1; int32 num_axes 2; FillerParameter filler 3; bool bias_term 4; "
     "FillerParameter bias_filler 5"},
    {144, "crop_param", "CropParameter", "int32 axis 1; repeated uint32 offset 2"},
    {145, "parameter_param", "ParameterParameter", "BlobShape shape 1"},
    {146, "recurrent_param", "RecurrentParameter",
     "uint32 num_output 1; FillerParameter weight_filler 2; FillerParameter bias_filler 3; "
     "bool debug_info 4; bool expose_hidden 5"},
    {147, "swish_param", "SwishParameter", "float beta 1"},
    {148, "clip_param", "ClipParameter", "float min 1; float max 2"},
};

/// Cuts the next word off the front of `text`.
CREMA_INLINE std::string_view word(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(" ;"), text.size()));
  const std::string_view w = text.substr(0, text.find_first_of(" ;"));
  text.remove_prefix(w.size());
  return w;
}

/// One table out of its line.
CREMA_INLINE Schema parse_schema(std::string_view name, std::string_view text) {
  constexpr std::pair<std::string_view, Kind> kinds[] = {{"bool", Kind::boolean},
                                                         {"uint32", Kind::uint32},
                                                         {"int32", Kind::int32},
                                                         {"float", Kind::real},
                                                         {"string", Kind::string}};
  Schema s{name, {}};
  while (text.find_first_not_of(" ;") != std::string_view::npos) {
    SchemaField f;
    std::string_view type = word(text);
    if (type == "repeated") f.repeated = true, type = word(text);
    f.name = word(text);
    parse_number(word(text), f.number);
    for (const auto& [kind_name, kind] : kinds)
      if (type == kind_name) f.kind = kind;
    if (type == "FillerParameter") f.kind = Kind::message, f.message = &schema<FillerSpec>();
    if (type == "BlobShape") f.kind = Kind::message, f.message = &schema<BlobShape>();
    if (type.starts_with("enum{")) f.kind = Kind::enumeration, f.names = type.substr(5, type.size() - 6);
    s.fields.push_back(f);
  }
  return s;
}

CREMA_INLINE const std::vector<Schema>& other_schemas() {
  static const std::vector<Schema> all = [] {
    std::vector<Schema> v;
    for (const OtherLayer& o : other_layers) v.push_back(parse_schema(o.message, o.fields));
    return v;
  }();
  return all;
}
#endif

}  // namespace detail
}  // namespace crema::inline CREMA_ABI
