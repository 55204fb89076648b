// SPDX-License-Identifier: Apache-2.0
// What a layer can be told: one struct per Caffe message, its defaults as initialisers, and its field table.
//
//   ConvolutionOptions o{.num_output = 20, .kernel_size = {5}};
#pragma once

#include "crema/core/shape.hpp"
#include "crema/spec/schema.hpp"

namespace crema::inline CREMA_ABI {

enum class Phase : std::uint8_t { train, test };
enum class VarianceNorm : std::uint8_t { fan_in, fan_out, average };
enum class ShareMode : std::uint8_t { strict, permissive };
enum class Engine : std::uint8_t { automatic, caffe, cudnn };  // read and ignored
enum class PoolMethod : std::uint8_t { max, ave, stochastic };
enum class RoundMode : std::uint8_t { ceil, floor };
enum class NormRegion : std::uint8_t { across_channels, within_channel };
enum class Normalization : std::uint8_t { full, valid, batch_size, none };
enum class DataBackend : std::uint8_t { leveldb, lmdb };
enum class CosDataType : std::uint8_t {
  string,
  integer,
  real,
  integers,
  reals,
  encoded_image,
  raw_image,
  encoded_image_with_dim
};

constexpr std::string_view enum_names(Phase) { return "TRAIN=0,TEST=1"; }
constexpr std::string_view enum_names(VarianceNorm) { return "FAN_IN=0,FAN_OUT=1,AVERAGE=2"; }
constexpr std::string_view enum_names(ShareMode) { return "STRICT=0,PERMISSIVE=1"; }
constexpr std::string_view enum_names(Engine) { return "DEFAULT=0,CAFFE=1,CUDNN=2"; }
constexpr std::string_view enum_names(PoolMethod) { return "MAX=0,AVE=1,STOCHASTIC=2"; }
constexpr std::string_view enum_names(RoundMode) { return "CEIL=0,FLOOR=1"; }
constexpr std::string_view enum_names(NormRegion) { return "ACROSS_CHANNELS=0,WITHIN_CHANNEL=1"; }
constexpr std::string_view enum_names(Normalization) { return "FULL=0,VALID=1,BATCH_SIZE=2,NONE=3"; }
constexpr std::string_view enum_names(DataBackend) { return "LEVELDB=0,LMDB=1"; }
constexpr std::string_view enum_names(CosDataType) {
  return "STRING=0,INT=1,FLOAT=2,INT_ARRAY=3,FLOAT_ARRAY=4,ENCODED_IMAGE=5,RAW_IMAGE=6,"
         "ENCODED_IMAGE_WITH_DIM=7";
}

/// BlobShape: the extents of one blob.
struct BlobShape {
  std::vector<std::int64_t> dim = {};
  Message other = {};  // what no schema knows
  friend bool operator==(const BlobShape&, const BlobShape&) = default;
};

struct FillerSpec {
  std::string type = "constant";
  float value = 0, min = 0, max = 1, mean = 0, std = 1;
  int sparse = -1;
  VarianceNorm variance_norm = VarianceNorm::fan_in;
  friend bool operator==(const FillerSpec&, const FillerSpec&) = default;
};

struct ParamSpec {
  std::string name = {};
  ShareMode share_mode = ShareMode::strict;
  float lr_mult = 1, decay_mult = 1;
  Message other = {};  // what no schema knows
  friend bool operator==(const ParamSpec&, const ParamSpec&) = default;
};

struct NetStateRule {
  std::optional<Phase> phase = {};
  std::optional<int> min_level = {}, max_level = {};
  std::vector<std::string> stage = {}, not_stage = {};
  Message other = {};  // what no schema knows
  friend bool operator==(const NetStateRule&, const NetStateRule&) = default;
};

struct NetState {
  Phase phase = Phase::test;
  int level = 0;
  std::vector<std::string> stage = {};
  Message other = {};  // what no schema knows
  friend bool operator==(const NetState&, const NetState&) = default;
};

struct TransformationOptions {
  float scale = 1;
  bool mirror = false;
  std::uint32_t crop_size = 0;
  std::optional<std::string> mean_file = {};
  std::vector<float> mean_value = {};
  bool force_color = false, force_gray = false;
  friend bool operator==(const TransformationOptions&, const TransformationOptions&) = default;
};

struct LossOptions {
  std::optional<int> ignore_label = {};
  std::optional<bool> normalize = {};
  std::optional<Normalization> normalization = {};  // VALID unless `normalize` says otherwise
  friend bool operator==(const LossOptions&, const LossOptions&) = default;
};

struct AccuracyOptions {
  std::uint32_t top_k = 1;
  int axis = 1;
  std::optional<int> ignore_label = {};
  friend bool operator==(const AccuracyOptions&, const AccuracyOptions&) = default;
};

struct ConvolutionOptions {
  std::uint32_t num_output = 0;
  bool bias_term = true;
  std::vector<std::uint32_t> pad = {}, kernel_size = {}, stride = {}, dilation = {};
  std::optional<std::uint32_t> pad_h = {}, pad_w = {}, kernel_h = {}, kernel_w = {}, stride_h = {},
                               stride_w = {};
  std::uint32_t group = 1;
  FillerSpec weight_filler = {}, bias_filler = {};
  Engine engine = Engine::automatic;
  int axis = 1;
  bool force_nd_im2col = false;
  friend bool operator==(const ConvolutionOptions&, const ConvolutionOptions&) = default;
};

struct DataOptions {
  std::string source = {};
  std::uint32_t batch_size = 0, rand_skip = 0;
  DataBackend backend = DataBackend::leveldb;
  float scale = 1;
  std::optional<std::string> mean_file = {};
  std::uint32_t crop_size = 0;
  bool mirror = false, force_encoded_color = false;
  std::uint32_t prefetch = 4;
  friend bool operator==(const DataOptions&, const DataOptions&) = default;
};

struct DropoutOptions {
  float dropout_ratio = 0.5f;
  friend bool operator==(const DropoutOptions&, const DropoutOptions&) = default;
};

struct FlattenOptions {
  int axis = 1, end_axis = -1;
  friend bool operator==(const FlattenOptions&, const FlattenOptions&) = default;
};

struct ImageDataOptions {
  std::string source = {};
  float scale = 1;
  std::optional<std::string> mean_file = {};
  std::uint32_t batch_size = 1, crop_size = 0;
  bool mirror = false;
  std::uint32_t rand_skip = 0;
  bool shuffle = false;
  std::uint32_t new_height = 0, new_width = 0;
  bool is_color = true;
  std::string root_folder = {};
  friend bool operator==(const ImageDataOptions&, const ImageDataOptions&) = default;
};

struct InnerProductOptions {
  std::uint32_t num_output = 0;
  bool bias_term = true;
  FillerSpec weight_filler = {}, bias_filler = {};
  int axis = 1;
  bool transpose = false;
  friend bool operator==(const InnerProductOptions&, const InnerProductOptions&) = default;
};

struct InputOptions {
  std::vector<BlobShape> shape = {};
  friend bool operator==(const InputOptions&, const InputOptions&) = default;
};

/// Samples that the host gives. The members from share_in_parallel on are CaffeOnSpark's: where its rows come
/// from, for a layer with a `source_class`.
struct MemoryDataOptions {
  std::uint32_t batch_size = 0, channels = 0, height = 0, width = 0;
  bool share_in_parallel = true;  // read and ignored
  std::string source = {};
  std::vector<std::string> dataframe_column_select = {};
  bool image_encoded = false;
  std::string dataframe_format = "parquet";
  friend bool operator==(const MemoryDataOptions&, const MemoryDataOptions&) = default;
};

/// One top of CaffeOnSpark's CoSData: a column of its name.
struct CosTopOptions {
  std::string name = {};
  CosDataType type = CosDataType::string;
  std::uint32_t channels = 0, height = 0, width = 0;
  std::uint32_t sample_num_axes = 3;  // of C, H, W that the blob has behind its batch axis
  TransformationOptions transform_param = {};
  std::uint32_t out_channels = 0, out_height = 0, out_width = 0;  // after transforming; 0: the same
  bool transpose = false;
  friend bool operator==(const CosTopOptions&, const CosTopOptions&) = default;
};
struct CosDataOptions {
  std::string source = {};
  std::uint32_t batch_size = 0;
  bool shuffle = false;  // read and ignored, as CaffeOnSpark does
  std::string dataframe_format = "parquet";
  std::vector<CosTopOptions> top = {};
  friend bool operator==(const CosDataOptions&, const CosDataOptions&) = default;
};

struct LrnOptions {
  std::uint32_t local_size = 5;
  float alpha = 1, beta = 0.75f;
  NormRegion norm_region = NormRegion::across_channels;
  float k = 1;
  Engine engine = Engine::automatic;
  friend bool operator==(const LrnOptions&, const LrnOptions&) = default;
};

struct PoolingOptions {
  PoolMethod pool = PoolMethod::max;
  std::optional<std::uint32_t> kernel_size = {};
  std::uint32_t stride = 1, pad = 0;
  std::optional<std::uint32_t> kernel_h = {}, kernel_w = {}, stride_h = {}, stride_w = {}, pad_h = {},
                               pad_w = {};
  Engine engine = Engine::automatic;
  bool global_pooling = false;
  RoundMode round_mode = RoundMode::ceil;
  friend bool operator==(const PoolingOptions&, const PoolingOptions&) = default;
};

struct ReluOptions {
  float negative_slope = 0;
  Engine engine = Engine::automatic;
  friend bool operator==(const ReluOptions&, const ReluOptions&) = default;
};

struct SoftmaxOptions {
  Engine engine = Engine::automatic;
  int axis = 1;
  friend bool operator==(const SoftmaxOptions&, const SoftmaxOptions&) = default;
};

}  // namespace crema::inline CREMA_ABI
