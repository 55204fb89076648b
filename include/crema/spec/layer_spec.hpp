// SPDX-License-Identifier: Apache-2.0
// LayerSpec: one layer of a net, as a value.
//
//   LayerSpec conv = layer("Convolution", "conv1", {"data"}, {"conv1"}, ConvolutionOptions{.num_output = 20});
//   ConvolutionOptions o = read_options<ConvolutionOptions>(conv);
#pragma once

#include "crema/spec/other_schema.hpp"

namespace crema::inline CREMA_ABI {

/// A blob in a file: weights, a mean image, a solver's
/// history. Either `shape` or Caffe's legacy four extents.
struct BlobSpec {
  std::optional<int> num = {}, channels = {}, height = {}, width = {};
  std::vector<float> data = {}, diff = {};
  std::optional<BlobShape> shape = {};
  std::vector<double> double_data = {}, double_diff = {};
  Message other = {};  // what no schema knows
  friend bool operator==(const BlobSpec&, const BlobSpec&) = default;
};

template <>
CREMA_INLINE const Schema& schema<BlobSpec>();
#if CREMA_BODIES
template <>
CREMA_INLINE const Schema& schema<BlobSpec>() {
  using M = BlobSpec;
  static const Schema s{
      "BlobProto",
      {field(1, "num", &M::num), field(2, "channels", &M::channels), field(3, "height", &M::height),
       field(4, "width", &M::width), field(5, "data", &M::data, true), field(6, "diff", &M::diff, true),
       field(7, "shape", &M::shape), field(8, "double_data", &M::double_data, true),
       field(9, "double_diff", &M::double_diff, true)}};
  return s;
}
#endif

struct LayerSpec {
  std::string name = {}, type = {};
  std::vector<std::string> bottom = {}, top = {};
  std::vector<float> loss_weight = {};
  std::vector<ParamSpec> param = {};
  std::vector<BlobSpec> blobs = {};
  std::vector<NetStateRule> include = {}, exclude = {};
  std::optional<Phase> phase = {};
  std::vector<bool> propagate_down = {};
  std::string source_class = {};  // CaffeOnSpark's: what makes the rows of a MemoryData or CoSData layer
  Message options = {};           // all else: the <type>_param messages, and what no schema knows
  Position where = {};

  friend bool operator==(const LayerSpec& a, const LayerSpec& b) {
    return a.name == b.name && a.type == b.type && a.bottom == b.bottom && a.top == b.top &&
           a.loss_weight == b.loss_weight && a.param == b.param && a.blobs == b.blobs &&
           a.include == b.include && a.exclude == b.exclude && a.phase == b.phase &&
           a.propagate_down == b.propagate_down && a.source_class == b.source_class && a.options == b.options;
  }
};

inline constexpr int first_user_field = 20000;  // of LayerParameter; Caffe's own are below
CREMA_COLD inline SchemaField options_field(int number, std::string_view name, const Schema& message) {
  return {number, name, Kind::message, false, false, {}, &message};
}

namespace detail {

/// Where Caffe's options of type O stand in LayerParameter.
struct OptionsName {
  int number = 0;
  std::string_view field = {};
};
template <class O>
inline constexpr OptionsName options_name = {};
template <>
inline constexpr OptionsName options_name<TransformationOptions> = {100, "transform_param"};
template <>
inline constexpr OptionsName options_name<LossOptions> = {101, "loss_param"};
template <>
inline constexpr OptionsName options_name<AccuracyOptions> = {102, "accuracy_param"};
template <>
inline constexpr OptionsName options_name<ConvolutionOptions> = {106, "convolution_param"};
template <>
inline constexpr OptionsName options_name<DataOptions> = {107, "data_param"};
template <>
inline constexpr OptionsName options_name<DropoutOptions> = {108, "dropout_param"};
template <>
inline constexpr OptionsName options_name<ImageDataOptions> = {115, "image_data_param"};
template <>
inline constexpr OptionsName options_name<InnerProductOptions> = {117, "inner_product_param"};
template <>
inline constexpr OptionsName options_name<LrnOptions> = {118, "lrn_param"};
template <>
inline constexpr OptionsName options_name<MemoryDataOptions> = {119, "memory_data_param"};
template <>
inline constexpr OptionsName options_name<PoolingOptions> = {121, "pooling_param"};
template <>
inline constexpr OptionsName options_name<ReluOptions> = {123, "relu_param"};
template <>
inline constexpr OptionsName options_name<SoftmaxOptions> = {125, "softmax_param"};
template <>
inline constexpr OptionsName options_name<FlattenOptions> = {135, "flatten_param"};
template <>
inline constexpr OptionsName options_name<InputOptions> = {143, "input_param"};
template <>
inline constexpr OptionsName options_name<CosDataOptions> = {10010, "cos_data_param"};

}  // namespace detail

/// The row of LayerParameter under which options of type O stand. Caffe's own are named above; a
/// user's layer specialises this with a number from 20000 up, and hands it to the readers as `layer_fields`:
///
///   template <> inline const SchemaField& crema::layer_field<HardSigmoidOptions>() {
///     static const SchemaField f = options_field(20100, "hard_sigmoid_param",
///                                                schema<HardSigmoidOptions>());
///     return f;
///   }
///   NetSpec net = parse_net(text, file, {.layer_fields = {layer_field<HardSigmoidOptions>()}});
template <class O>
CREMA_COLD const SchemaField& layer_field() {
  constexpr detail::OptionsName name = detail::options_name<O>;
  static_assert(name.number > 0, "no message of Caffe's layers: specialise layer_field for it");
  static const SchemaField f = options_field(name.number, name.field, schema<O>());
  return f;
}

/// The fields of LayerParameter that LayerSpec has members for; the rest stays in `options`.
template <>
CREMA_INLINE const Schema& schema<LayerSpec>();
#if CREMA_BODIES
template <>
CREMA_INLINE const Schema& schema<LayerSpec>() {
  using M = LayerSpec;
  static const Schema s = [] {
    Schema t{
        "LayerParameter",
        {field(1, "name", &M::name), field(2, "type", &M::type), field(3, "bottom", &M::bottom),
         field(4, "top", &M::top), field(5, "loss_weight", &M::loss_weight), field(6, "param", &M::param),
         field(7, "blobs", &M::blobs), field(8, "include", &M::include), field(9, "exclude", &M::exclude),
         field(10, "phase", &M::phase), field(11, "propagate_down", &M::propagate_down),
         field(10001, "source_class", &M::source_class)}};
    for (const SchemaField* f :
         {&layer_field<TransformationOptions>(), &layer_field<LossOptions>(), &layer_field<AccuracyOptions>(),
          &layer_field<ConvolutionOptions>(), &layer_field<DataOptions>(), &layer_field<DropoutOptions>(),
          &layer_field<ImageDataOptions>(), &layer_field<InnerProductOptions>(), &layer_field<LrnOptions>(),
          &layer_field<PoolingOptions>(), &layer_field<ReluOptions>(), &layer_field<SoftmaxOptions>(),
          &layer_field<FlattenOptions>(), &layer_field<InputOptions>(), &layer_field<MemoryDataOptions>(),
          &layer_field<CosDataOptions>()})
      t.fields.push_back(*f);
    for (std::size_t i = 0; i < std::size(detail::other_layers); ++i)
      t.fields.push_back(options_field(detail::other_layers[i].number, detail::other_layers[i].field,
                                       detail::other_schemas()[i]));
    return t;
  }();
  return s;
}
#endif

/// LayerSpec keeps what has no member in `options`.
template <>
CREMA_INLINE LayerSpec from_message<LayerSpec>(const Message& m);
#if CREMA_BODIES
template <>
CREMA_INLINE LayerSpec from_message<LayerSpec>(const Message& m) {
  LayerSpec spec;
  assign(&spec, schema<LayerSpec>(), m, &spec.options);
  return spec;
}
#endif
template <>
CREMA_INLINE Message to_message<LayerSpec>(const LayerSpec& spec);
#if CREMA_BODIES
template <>
CREMA_INLINE Message to_message<LayerSpec>(const LayerSpec& spec) {
  return collect(&spec, schema<LayerSpec>(), &spec.options);
}
#endif

namespace detail {
[[noreturn]] inline void unread_options(const LayerSpec& spec, const SchemaField& row) {
  throw SpecError(cat("layer '", spec.name, "' has a ", row.name,
                      " that was read without its table: hand layer_field to the reader as layer_fields"));
}
CREMA_INLINE void replace_options(LayerSpec& spec, const SchemaField& row, Message message);
#if CREMA_BODIES
CREMA_INLINE void replace_options(LayerSpec& spec, const SchemaField& row, Message message) {
  Field f;
  f.number = row.number, f.form = Field::Form::message, f.message = std::move(message);
  if (row.number >= first_user_field) f.name = row.name, f.schema = row.message;
  Message all;
  for (Field& old : spec.options.fields)
    if (old.number != f.number) all.fields.push_back(std::move(old));
  all.fields.push_back(std::move(f));
  spec.options = std::move(all);
}
#endif
}  // namespace detail

/// A layer's options of one kind; defaults where the spec has none. Several messages of one kind merge, as in
/// protobuf. Throws SpecError for a user's options that were read as an unknown field.
template <class O>
CREMA_COLD O read_options(const LayerSpec& spec) {
  const SchemaField& row = layer_field<O>();
  O o;
  for (const Field& f : spec.options.fields)
    if (f.number == row.number && f.form == Field::Form::message)
      assign(&o, schema<O>(), f.message);
    else if (f.number == row.number || f.name == row.name)
      detail::unread_options(spec, row);
  return o;
}

template <class O>
void write_options(LayerSpec& spec, const O& o) {
  detail::replace_options(spec, layer_field<O>(), to_message(o));
}

template <class... O>
LayerSpec layer(std::string type, std::string name, std::vector<std::string> bottom,
                std::vector<std::string> top, const O&... options) {
  LayerSpec spec;
  spec.name = std::move(name), spec.type = std::move(type), spec.bottom = std::move(bottom),
  spec.top = std::move(top);
  (write_options(spec, options), ...);
  return spec;
}

}  // namespace crema::inline CREMA_ABI
