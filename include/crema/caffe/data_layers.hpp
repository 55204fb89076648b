// SPDX-License-Identifier: Apache-2.0
// Data layers of a prototxt: taken out of the net, which gets Input layers of their tops, and opened as
// sources of batches.
//
//   NetSpec train = filter(read_net(path), {.phase = Phase::train});
//   std::vector<DataLayer> data = take_data_layers(train, Phase::train, roots, cache);
//   auto source = make_source<float>(data, Phase::train, seed);
//
// Data: `source` names an LMDB folder, an IDX image file, a CIFAR file or a folder of them, whatever `backend`
// says. ImageData: a list of image files. Sources, images and mean files lie under one of the roots. The rows
// of MemoryData and CoSData layers come from the host.
#pragma once

#include <map>

#include "crema/caffe/row_layers.hpp"
#include "crema/data/image_list.hpp"
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
  int axes = 3;                                // of C, H, W that the data's blob has behind its batch axis
  std::shared_ptr<const MeanImage> mean = {};  // of the transformation's mean_file

  /// Of the data's blob.
  Shape shape(Phase phase) const {
    const Shape s = Transformer(transform, dataset->sample_shape(), phase, 0, mean).shape();
    return first_axes({batch, s[0], s[1], s[2]}, axes + 1);
  }
};

/// Datasets that are open, by source and options: nets of one job share them.
using DatasetCache = std::map<std::string, std::shared_ptr<const Dataset>>;

namespace detail {

inline constexpr std::string_view other_data_layers[] = {"HDF5Data", "WindowData", "DummyData",
                                                         "AnnotatedData"};

/// transform_param, with what very old files say in data_param or image_data_param.
template <class O>
TransformationOptions transformation(const LayerSpec& layer, const O& data) {
  TransformationOptions t = read_options<TransformationOptions>(layer);
  if (t == TransformationOptions{})
    t.scale = data.scale, t.mirror = data.mirror, t.crop_size = data.crop_size, t.mean_file = data.mean_file;
  return t;
}

/// What a transformation says about decoding, which is the dataset's work: taken out of it.
inline ImageOptions decoding(TransformationOptions& t) {
  if (t.force_color && t.force_gray)
    throw SpecError("transform_param: force_color and force_gray: give one of them");
  ImageOptions image;
  if (t.force_color || t.force_gray) image.color = t.force_color;
  t.force_color = t.force_gray = false;
  return image;
}

inline std::shared_ptr<const Dataset>& cached(DatasetCache& cache, const std::string& source,
                                              const ImageOptions& image) {
  if (image.none()) return cache[source];
  const char* const color = !image.color ? "as it is" : *image.color ? "color" : "gray";
  return cache[cat(source, "\n", color, " ", image.height, " ", image.width)];
}

/// What Data and ImageData have in common.
template <class O>
void check_data_layer(const LayerSpec& layer, const O& o, std::string_view field) {
  if (layer.top.empty() || layer.top.size() > 2)
    throw SpecError(cat(layer.type, " makes 1 or 2 tops, not ", layer.top.size()));
  if (!layer.bottom.empty()) throw SpecError(cat(layer.type, " takes no bottom"));
  if (o.batch_size == 0) throw SpecError(cat(field, ": batch_size must be above 0"));
  if (o.rand_skip != 0)
    throw SpecError(cat(field, ": rand_skip is not supported: samples are shuffled in TRAIN anyway"));
}

inline DataLayer open_data_layer(const LayerSpec& layer, const std::vector<std::string>& roots,
                                 DatasetCache& cache, const Limits& limits) {
  const auto o = read_options<DataOptions>(layer);
  check_data_layer(layer, o, "data_param");
  TransformationOptions t = transformation(layer, o);
  t.force_color = t.force_color || o.force_encoded_color;
  const ImageOptions image = decoding(t);
  auto& dataset = cached(cache, o.source, image);
  if (!dataset) dataset = open_dataset(o.source, roots, limits, image);
  return {layer.name, layer.top, o.batch_size, t, dataset};
}

inline DataLayer open_image_data_layer(const LayerSpec& layer, const std::vector<std::string>& roots,
                                       DatasetCache& cache, const Limits& limits) {
  const auto o = read_options<ImageDataOptions>(layer);
  check_data_layer(layer, o, "image_data_param");
  if ((o.new_height == 0) != (o.new_width == 0))
    throw SpecError("image_data_param: new_height and new_width: give both or none");
  const TransformationOptions t = transformation(layer, o);
  if (t.force_color || t.force_gray)
    throw SpecError("transform_param: of ImageData, is_color says what force_color and force_gray would");
  const ImageListOptions list{o.root_folder, {o.is_color, o.new_height, o.new_width}};
  auto& dataset = cached(cache, cat(o.source, "\n", o.root_folder), list.image);
  if (!dataset) dataset = read_image_list(o.source, list, roots, limits);
  return {layer.name, layer.top, o.batch_size, t, dataset};
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
    TransformationOptions t = top.transform;
    const ImageOptions image = decoding(t);  // rows of a host are decoded as the layer's channels say
    if (wanted.is_lmdb()) {
      auto& open = cached(cache, wanted.source, image);
      if (!open) open = open_dataset(local_path(wanted.source), roots, limits, image);
      dataset = open;
    } else {
      dataset = host(phase, wanted, top);
    }
    found.push_back({layer.name, top.tops, wanted.batch, t, dataset, top.axes});
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
          throw SpecError(cat("data layers of type ", other, " are not read: use Data, ImageData or Input"));
      std::vector<DataLayer> found;
      if (is_row_layer(layer))
        found = detail::open_row_layer(layer, phase, roots, cache, host, limits);
      else if (layer.type == "Data")
        found = {detail::open_data_layer(layer, roots, cache, limits)};
      else if (layer.type == "ImageData")
        found = {detail::open_image_data_layer(layer, roots, cache, limits)};
      else
        continue;
      InputOptions shapes;
      for (DataLayer& d : found) {
        if (const auto& file = d.transform.mean_file)
          d.mean = read_mean_image(resolve_under(detail::local_path(*file), roots), limits);
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
                                                          .shards = train ? shards : Shards{},
                                                          .mean = d.mean},
                                           d.tops[0], d.tops.size() > 1 ? d.tops[1] : std::string(), d.axes));
  if (sources.size() == 1) return std::move(sources.front());
  return std::make_unique<JoinedSource<T>>(std::move(sources));
}

}  // namespace crema::inline CREMA_ABI
