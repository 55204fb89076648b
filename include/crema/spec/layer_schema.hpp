// SPDX-License-Identifier: Apache-2.0
// The field tables of the layer options in spec/layer_options.hpp:
// Caffe's field number and name for every member.
#pragma once

#include "crema/spec/layer_options.hpp"

namespace crema::inline CREMA_ABI {

template <>
CREMA_INLINE const Schema& schema<BlobShape>();
template <>
CREMA_INLINE const Schema& schema<FillerSpec>();
template <>
CREMA_INLINE const Schema& schema<ParamSpec>();
template <>
CREMA_INLINE const Schema& schema<NetStateRule>();
template <>
CREMA_INLINE const Schema& schema<NetState>();
template <>
CREMA_INLINE const Schema& schema<TransformationOptions>();
template <>
CREMA_INLINE const Schema& schema<LossOptions>();
template <>
CREMA_INLINE const Schema& schema<AccuracyOptions>();
template <>
CREMA_INLINE const Schema& schema<ConvolutionOptions>();
template <>
CREMA_INLINE const Schema& schema<DataOptions>();
template <>
CREMA_INLINE const Schema& schema<DropoutOptions>();
template <>
CREMA_INLINE const Schema& schema<FlattenOptions>();
template <>
CREMA_INLINE const Schema& schema<ImageDataOptions>();
template <>
CREMA_INLINE const Schema& schema<InnerProductOptions>();
template <>
CREMA_INLINE const Schema& schema<InputOptions>();
template <>
CREMA_INLINE const Schema& schema<MemoryDataOptions>();
template <>
CREMA_INLINE const Schema& schema<CosTopOptions>();
template <>
CREMA_INLINE const Schema& schema<CosDataOptions>();
template <>
CREMA_INLINE const Schema& schema<LrnOptions>();
template <>
CREMA_INLINE const Schema& schema<PoolingOptions>();
template <>
CREMA_INLINE const Schema& schema<ReluOptions>();
template <>
CREMA_INLINE const Schema& schema<SoftmaxOptions>();

#if CREMA_BODIES

template <>
CREMA_INLINE const Schema& schema<BlobShape>() {
  static const Schema s{"BlobShape", {field(1, "dim", &BlobShape::dim, true)}};
  return s;
}

template <>
CREMA_INLINE const Schema& schema<FillerSpec>() {
  using M = FillerSpec;
  static const Schema s{"FillerParameter",
                        {field(1, "type", &M::type), field(2, "value", &M::value), field(3, "min", &M::min),
                         field(4, "max", &M::max), field(5, "mean", &M::mean), field(6, "std", &M::std),
                         field(7, "sparse", &M::sparse), field(8, "variance_norm", &M::variance_norm)}};
  return s;
}

template <>
CREMA_INLINE const Schema& schema<ParamSpec>() {
  using M = ParamSpec;
  static const Schema s{"ParamSpec",
                        {field(1, "name", &M::name), field(2, "share_mode", &M::share_mode),
                         field(3, "lr_mult", &M::lr_mult), field(4, "decay_mult", &M::decay_mult)}};
  return s;
}

template <>
CREMA_INLINE const Schema& schema<NetStateRule>() {
  using M = NetStateRule;
  static const Schema s{"NetStateRule",
                        {field(1, "phase", &M::phase), field(2, "min_level", &M::min_level),
                         field(3, "max_level", &M::max_level), field(4, "stage", &M::stage),
                         field(5, "not_stage", &M::not_stage)}};
  return s;
}

template <>
CREMA_INLINE const Schema& schema<NetState>() {
  using M = NetState;
  static const Schema s{
      "NetState", {field(1, "phase", &M::phase), field(2, "level", &M::level), field(3, "stage", &M::stage)}};
  return s;
}

template <>
CREMA_INLINE const Schema& schema<TransformationOptions>() {
  using M = TransformationOptions;
  static const Schema s{
      "TransformationParameter",
      {field(1, "scale", &M::scale), field(2, "mirror", &M::mirror), field(3, "crop_size", &M::crop_size),
       field(4, "mean_file", &M::mean_file), field(5, "mean_value", &M::mean_value),
       field(6, "force_color", &M::force_color), field(7, "force_gray", &M::force_gray)}};
  return s;
}

template <>
CREMA_INLINE const Schema& schema<LossOptions>() {
  using M = LossOptions;
  static const Schema s{"LossParameter",
                        {field(1, "ignore_label", &M::ignore_label), field(2, "normalize", &M::normalize),
                         field(3, "normalization", &M::normalization)}};
  return s;
}

template <>
CREMA_INLINE const Schema& schema<AccuracyOptions>() {
  using M = AccuracyOptions;
  static const Schema s{
      "AccuracyParameter",
      {field(1, "top_k", &M::top_k), field(2, "axis", &M::axis), field(3, "ignore_label", &M::ignore_label)}};
  return s;
}

template <>
CREMA_INLINE const Schema& schema<ConvolutionOptions>() {
  using M = ConvolutionOptions;
  static const Schema s{
      "ConvolutionParameter",
      {field(1, "num_output", &M::num_output), field(2, "bias_term", &M::bias_term), field(3, "pad", &M::pad),
       field(4, "kernel_size", &M::kernel_size), field(5, "group", &M::group), field(6, "stride", &M::stride),
       field(7, "weight_filler", &M::weight_filler), field(8, "bias_filler", &M::bias_filler),
       field(9, "pad_h", &M::pad_h), field(10, "pad_w", &M::pad_w), field(11, "kernel_h", &M::kernel_h),
       field(12, "kernel_w", &M::kernel_w), field(13, "stride_h", &M::stride_h),
       field(14, "stride_w", &M::stride_w), field(15, "engine", &M::engine), field(16, "axis", &M::axis),
       field(17, "force_nd_im2col", &M::force_nd_im2col), field(18, "dilation", &M::dilation)}};
  return s;
}

template <>
CREMA_INLINE const Schema& schema<DataOptions>() {
  using M = DataOptions;
  static const Schema s{
      "DataParameter",
      {field(1, "source", &M::source), field(2, "scale", &M::scale), field(3, "mean_file", &M::mean_file),
       field(4, "batch_size", &M::batch_size), field(5, "crop_size", &M::crop_size),
       field(6, "mirror", &M::mirror), field(7, "rand_skip", &M::rand_skip), field(8, "backend", &M::backend),
       field(9, "force_encoded_color", &M::force_encoded_color), field(10, "prefetch", &M::prefetch)}};
  return s;
}

template <>
CREMA_INLINE const Schema& schema<DropoutOptions>() {
  static const Schema s{"DropoutParameter", {field(1, "dropout_ratio", &DropoutOptions::dropout_ratio)}};
  return s;
}

template <>
CREMA_INLINE const Schema& schema<FlattenOptions>() {
  static const Schema s{
      "FlattenParameter",
      {field(1, "axis", &FlattenOptions::axis), field(2, "end_axis", &FlattenOptions::end_axis)}};
  return s;
}

template <>
CREMA_INLINE const Schema& schema<ImageDataOptions>() {
  using M = ImageDataOptions;
  static const Schema s{
      "ImageDataParameter",
      {field(1, "source", &M::source), field(2, "scale", &M::scale), field(3, "mean_file", &M::mean_file),
       field(4, "batch_size", &M::batch_size), field(5, "crop_size", &M::crop_size),
       field(6, "mirror", &M::mirror), field(7, "rand_skip", &M::rand_skip), field(8, "shuffle", &M::shuffle),
       field(9, "new_height", &M::new_height), field(10, "new_width", &M::new_width),
       field(11, "is_color", &M::is_color), field(12, "root_folder", &M::root_folder)}};
  return s;
}

template <>
CREMA_INLINE const Schema& schema<InnerProductOptions>() {
  using M = InnerProductOptions;
  static const Schema s{
      "InnerProductParameter",
      {field(1, "num_output", &M::num_output), field(2, "bias_term", &M::bias_term),
       field(3, "weight_filler", &M::weight_filler), field(4, "bias_filler", &M::bias_filler),
       field(5, "axis", &M::axis), field(6, "transpose", &M::transpose)}};
  return s;
}

template <>
CREMA_INLINE const Schema& schema<InputOptions>() {
  static const Schema s{"InputParameter", {field(1, "shape", &InputOptions::shape)}};
  return s;
}

template <>
CREMA_INLINE const Schema& schema<MemoryDataOptions>() {
  using M = MemoryDataOptions;
  static const Schema s{
      "MemoryDataParameter",
      {field(1, "batch_size", &M::batch_size), field(2, "channels", &M::channels),
       field(3, "height", &M::height), field(4, "width", &M::width),
       field(10000, "share_in_parallel", &M::share_in_parallel), field(10001, "source", &M::source),
       field(10002, "dataframe_column_select", &M::dataframe_column_select),
       field(10003, "image_encoded", &M::image_encoded),
       field(10004, "dataframe_format", &M::dataframe_format)}};
  return s;
}

template <>
CREMA_INLINE const Schema& schema<CosTopOptions>() {
  using M = CosTopOptions;
  static const Schema s{
      "TopBlob",
      {field(1, "name", &M::name), field(2, "type", &M::type), field(3, "channels", &M::channels),
       field(4, "height", &M::height), field(5, "width", &M::width),
       field(6, "sample_num_axes", &M::sample_num_axes), field(7, "transform_param", &M::transform_param),
       field(8, "out_channels", &M::out_channels), field(9, "out_height", &M::out_height),
       field(10, "out_width", &M::out_width), field(11, "transpose", &M::transpose)}};
  return s;
}

template <>
CREMA_INLINE const Schema& schema<CosDataOptions>() {
  using M = CosDataOptions;
  static const Schema s{"CoSDataParameter",
                        {field(1, "source", &M::source), field(2, "batch_size", &M::batch_size),
                         field(3, "shuffle", &M::shuffle), field(4, "dataframe_format", &M::dataframe_format),
                         field(5, "top", &M::top)}};
  return s;
}

template <>
CREMA_INLINE const Schema& schema<LrnOptions>() {
  using M = LrnOptions;
  static const Schema s{
      "LRNParameter",
      {field(1, "local_size", &M::local_size), field(2, "alpha", &M::alpha), field(3, "beta", &M::beta),
       field(4, "norm_region", &M::norm_region), field(5, "k", &M::k), field(6, "engine", &M::engine)}};
  return s;
}

template <>
CREMA_INLINE const Schema& schema<PoolingOptions>() {
  using M = PoolingOptions;
  static const Schema s{
      "PoolingParameter",
      {field(1, "pool", &M::pool), field(2, "kernel_size", &M::kernel_size), field(3, "stride", &M::stride),
       field(4, "pad", &M::pad), field(5, "kernel_h", &M::kernel_h), field(6, "kernel_w", &M::kernel_w),
       field(7, "stride_h", &M::stride_h), field(8, "stride_w", &M::stride_w), field(9, "pad_h", &M::pad_h),
       field(10, "pad_w", &M::pad_w), field(11, "engine", &M::engine),
       field(12, "global_pooling", &M::global_pooling), field(13, "round_mode", &M::round_mode)}};
  return s;
}

template <>
CREMA_INLINE const Schema& schema<ReluOptions>() {
  static const Schema s{
      "ReLUParameter",
      {field(1, "negative_slope", &ReluOptions::negative_slope), field(2, "engine", &ReluOptions::engine)}};
  return s;
}

template <>
CREMA_INLINE const Schema& schema<SoftmaxOptions>() {
  static const Schema s{
      "SoftmaxParameter",
      {field(1, "engine", &SoftmaxOptions::engine), field(2, "axis", &SoftmaxOptions::axis)}};
  return s;
}

#endif

}  // namespace crema::inline CREMA_ABI
