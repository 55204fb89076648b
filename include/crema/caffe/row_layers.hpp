// SPDX-License-Identifier: Apache-2.0
// Data layers whose rows come from the host: MemoryData, and CaffeOnSpark's CoSData.
//
//   RowLayer wanted = row_layer(layer);         // which columns, as what, for which tops
//   wanted.tops[0].format.data                  // "data"
//
// CaffeOnSpark's `source_class` says what makes the rows. One of them is a format that is read here: LMDB.
#pragma once

#include <functional>

#include "crema/data/rows.hpp"
#include "crema/spec/net_spec.hpp"

namespace crema::inline CREMA_ABI {

/// What one data layer wants of the host's rows.
struct RowLayer {
  struct Top {
    std::vector<std::string> tops;  // blobs of the net: the data's and, if there is one, the label's
    RowFormat format;               // `total` and `resize` are the host's to say
    int axes = 3;                   // of C, H, W that the blob has behind its batch axis
    TransformationOptions transform = {};
  };
  std::string name, source_class, source;
  std::string storage = "parquet";       // of the table behind `source`
  std::vector<std::string> select = {};  // expressions that make the columns of it
  std::int64_t batch = 0;
  std::vector<Top> tops = {};

  /// Whether `source` is a database of Datum, which is read without the host.
  bool is_lmdb() const { return source_class == "LMDB" || source_class.ends_with(".LMDB"); }
};

/// The host's samples for one top of a layer.
using HostRows = std::function<std::shared_ptr<const Dataset>(Phase, const RowLayer&, const RowLayer::Top&)>;

inline bool is_row_layer(const LayerSpec& layer) {
  return layer.type == "MemoryData" || layer.type == "CoSData";
}

namespace detail {

inline Shape sample_of(std::int64_t channels, std::int64_t height, std::int64_t width) {
  const Shape s{channels, height, width};
  if (s.size() == 0) throw SpecError(cat("channels, height and width must be above 0: ", s));
  return s;
}

inline RowLayer memory_data(const LayerSpec& layer) {
  const auto o = read_options<MemoryDataOptions>(layer);
  if (layer.top.size() != 2) throw SpecError(cat("MemoryData makes 2 tops, not ", layer.top.size()));
  RowLayer r{layer.name,         layer.source_class,        o.source,
             o.dataframe_format, o.dataframe_column_select, o.batch_size};
  r.tops.push_back({layer.top,
                    {.data = "data",
                     .label = "label",
                     .sample = sample_of(o.channels, o.height, o.width),
                     .encoded = o.image_encoded},
                    3,
                    read_options<TransformationOptions>(layer)});
  return r;
}

inline RowLayer::Top cos_top(const CosTopOptions& o, const std::string& blob) {
  if (o.transpose)
    throw SpecError(
        cat("top '", o.name, "': transpose is not supported: there are no time-major layers yet"));
  if (o.sample_num_axes > 3)
    throw SpecError(cat("top '", o.name, "': sample_num_axes is 0 to 3, not ", o.sample_num_axes));
  const bool scalar =
      o.type == CosDataType::string || o.type == CosDataType::integer || o.type == CosDataType::real;
  const bool arrays = o.type == CosDataType::integers || o.type == CosDataType::reals;
  if ((scalar || arrays) && o.transform_param != TransformationOptions{})
    throw SpecError(cat("top '", o.name, "': transform_param is for images"));
  const auto extent = [&](std::uint32_t e) {
    return std::int64_t{scalar || (arrays && e == 0) ? std::max<std::uint32_t>(e, 1) : e};
  };
  return {{blob},
          {.data = o.name,
           .sample = sample_of(extent(o.channels), extent(o.height), extent(o.width)),
           .encoded = o.type == CosDataType::encoded_image || o.type == CosDataType::encoded_image_with_dim,
           .interleaved = o.type == CosDataType::raw_image},
          scalar ? std::min(static_cast<int>(o.sample_num_axes), 3) : static_cast<int>(o.sample_num_axes),
          o.transform_param};
}

inline RowLayer cos_data(const LayerSpec& layer) {
  const auto o = read_options<CosDataOptions>(layer);
  if (layer.top.size() != o.top.size() || o.top.empty())
    throw SpecError(cat("CoSData has ", layer.top.size(), " tops and ", o.top.size(),
                        " cos_data_param.top: give one for each, in their order"));
  RowLayer r{layer.name, layer.source_class, o.source, o.dataframe_format, {}, o.batch_size};
  for (std::size_t i = 0; i < o.top.size(); ++i) r.tops.push_back(cos_top(o.top[i], layer.top[i]));
  return r;
}

}  // namespace detail

/// What a layer wants. Throws SpecError.
inline RowLayer row_layer(const LayerSpec& layer) {
  if (!layer.bottom.empty()) throw SpecError(cat(layer.type, " takes no bottom"));
  RowLayer r = layer.type == "CoSData" ? detail::cos_data(layer) : detail::memory_data(layer);
  if (r.batch == 0) throw SpecError("batch_size must be above 0");
  return r;
}

}  // namespace crema::inline CREMA_ABI
