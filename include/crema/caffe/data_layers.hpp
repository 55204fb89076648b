// SPDX-License-Identifier: Apache-2.0
// Data layers of a prototxt: taken out of the net, which gets Input layers of their tops, and opened as
// sources of batches.
//
//   NetSpec train = filter(read_net(path), {.phase = Phase::train});
//   std::vector<DataLayer> data = take_data_layers(train, Phase::train, roots, cache);
//   auto source = make_source<float>(data, Phase::train, seed);
//
// `source` names an IDX image file, a CIFAR file or a folder of them, under one of the roots only. The rows of
// MemoryData and CoSData layers come from the host.
#pragma once

#include <map>

#include "crema/caffe/row_layers.hpp"
#include "crema/data/open.hpp"
#include "crema/train/source.hpp"

namespace crema::inline CREMA_ABI {

/// One Data layer, with its dataset; or one of several datasets of a CoSData layer.
struct DataLayer {
  std::string name;
  std::vector<std::string> tops;  // data, and perhaps label
  std::int64_t batch = 0;
  TransformationOptions transform;
  std::shared_ptr<const Dataset> dataset;
  int axes = 3;  // of C, H, W that the data's blob has behind its batch axis

  /// Of the data's blob.
  Shape shape(Phase phase) const {
    const Shape s = Transformer(transform, dataset->sample_shape(), phase, 0).shape();
    return first_axes({batch, s[0], s[1], s[2]}, axes + 1);
  }
};

/// Datasets that are open, by source: nets of one job share them.
using DatasetCache = std::map<std::string, std::shared_ptr<const Dataset>>;

namespace detail {

inline constexpr std::string_view other_data_layers[] = {"ImageData", "HDF5Data", "WindowData", "DummyData",
                                                         "AnnotatedData"};

/// transform_param, with what very old files say in data_param.
inline TransformationOptions transformation(const LayerSpec& layer, const DataOptions& data) {
  TransformationOptions t = read_options<TransformationOptions>(layer);
  if (t == TransformationOptions{})
    t.scale = data.scale, t.mirror = data.mirror, t.crop_size = data.crop_size, t.mean_file = data.mean_file;
  return t;
}

inline DataLayer open_data_layer(const LayerSpec& layer, const std::vector<std::string>& roots,
                                 DatasetCache& cache, const Limits& limits) {
  const auto o = read_options<DataOptions>(layer);
  if (layer.top.empty() || layer.top.size() > 2)
    throw SpecError(cat("Data makes 1 or 2 tops, not ", layer.top.size()));
  if (!layer.bottom.empty()) throw SpecError("Data takes no bottom");
  if (o.batch_size == 0) throw SpecError("data_param: batch_size must be above 0");
  if (o.rand_skip != 0)
    throw SpecError("data_param: rand_skip is not supported: samples are shuffled in TRAIN anyway");
  auto& dataset = cache[o.source];
  if (!dataset) dataset = open_dataset(o.source, roots, limits);
  return {layer.name, layer.top, o.batch_size, transformation(layer, o), dataset};
}

/// A path as CaffeOnSpark's nets have it: "file:" in front says nothing new.
inline std::string local_path(const std::string& source) {
  for (const std::string_view scheme : {"file://", "file:"})
    if (source.starts_with(scheme)) return source.substr(scheme.size());
  return source;
}

inline std::vector<DataLayer> open_row_layer(const LayerSpec& layer, Phase phase,
                                             const std::vector<std::string>& roots, DatasetCache& cache,
                                             const HostRows& host, const Limits& limits) {
  const RowLayer wanted = row_layer(layer);
  if (!wanted.is_lmdb() && !host)
    throw SpecError(
        cat("the rows of a ", layer.type,
            " layer come from the host program, and this one gives none: use Data with a source"));
  std::vector<DataLayer> found;
  for (const RowLayer::Top& top : wanted.tops) {
    std::shared_ptr<const Dataset> dataset;
    if (wanted.is_lmdb()) {
      auto& cached = cache[wanted.source];
      if (!cached) cached = open_dataset(local_path(wanted.source), roots, limits);
      dataset = cached;
    } else {
      dataset = host(phase, wanted, top);
    }
    found.push_back({layer.name, top.tops, wanted.batch, top.transform, dataset, top.axes});
  }
  return found;
}

}  // namespace detail

/// Takes the data layers out of a filtered net. Relative sources are looked for under the roots in turn.
/// Throws SpecError, ShapeError or DataError with the layer and its place in the file; SpecError for Caffe's
/// other data layers.
inline std::vector<DataLayer> take_data_layers(NetSpec& net, Phase phase,
                                               const std::vector<std::string>& roots, DatasetCache& cache,
                                               const Limits& limits = {}, const HostRows& host = {}) {
  std::vector<DataLayer> all;
  for (LayerSpec& layer : net.layers) {
    try {
      for (const std::string_view other : detail::other_data_layers)
        if (layer.type == other)
          throw SpecError(cat("data layers of type ", other,
                              " are not read: use Data with an IDX or CIFAR source, or Input"));
      std::vector<DataLayer> found;
      if (is_row_layer(layer))
        found = detail::open_row_layer(layer, phase, roots, cache, host, limits);
      else if (layer.type == "Data")
        found = {detail::open_data_layer(layer, roots, cache, limits)};
      else
        continue;
      InputOptions shapes;
      for (const DataLayer& d : found) {
        const Shape s = d.shape(phase);
        shapes.shape.push_back({{s.extents().begin(), s.extents().end()}});
        if (d.tops.size() == 2) shapes.shape.push_back({{d.batch}});
      }
      LayerSpec input = crema::layer("Input", layer.name, {}, layer.top, shapes);
      input.include = layer.include, input.exclude = layer.exclude, input.phase = layer.phase,
      input.where = layer.where;
      layer = std::move(input);
      for (DataLayer& d : found) all.push_back(std::move(d));
    } catch (Error& e) {
      e.add_context(detail::describe(layer, net.file));
      throw;
    }
  }
  return all;
}

/// The batches of a net's data layers. TRAIN: these shards, shuffled by (seed, epoch, shard), without end. TEST:
/// all in order, once; the last batch may be short.
template <class T>
std::unique_ptr<BatchSource<T>> make_source(const std::vector<DataLayer>& layers, Phase phase,
                                            std::uint64_t seed, const Shards& shards = {}) {
  std::vector<std::unique_ptr<BatchSource<T>>> sources;
  const bool train = phase == Phase::train;
  for (const DataLayer& d : layers)
    sources.push_back(
        std::make_unique<DatasetSource<T>>(d.dataset, d.transform,
                                           BatcherOptions{.batch = d.batch,
                                                          .phase = phase,
                                                          .seed = seed,
                                                          .shuffle = train,
                                                          .wrap = train,
                                                          .shards = train ? shards : Shards{}},
                                           d.tops[0], d.tops.size() > 1 ? d.tops[1] : std::string(), d.axes));
  if (sources.size() == 1) return std::move(sources.front());
  return std::make_unique<JoinedSource<T>>(std::move(sources));
}

}  // namespace crema::inline CREMA_ABI
