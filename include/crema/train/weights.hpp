// SPDX-License-Identifier: Apache-2.0
// Weights of a net as a NetSpec with blobs, which is what a
// .caffemodel holds, and back: copied by layer name.
//
//   std::string bytes = write_wire(with_weights(cpu, net));
//   CopyReport report = copy_weights(cpu, net, parse_wire<NetSpec>(bytes, path));
//   report.missing                                  // layers of the net that the file does not have
//
// A layer's blobs are its parameters, then its state that is not learned, in Caffe's order and shapes.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "crema/net/net.hpp"

namespace crema::inline CREMA_ABI {

/// The extents of a blob in a file: `shape`, or the four legacy ones.
inline std::vector<std::int64_t> blob_extents(const BlobSpec& b) {
  if (b.shape) return b.shape->dim;
  return {b.num.value_or(0), b.channels.value_or(0), b.height.value_or(0), b.width.value_or(0)};
}
/// Whether a blob of a file fits a shape. Legacy blobs have four axes; a shape of fewer is compared with ones
/// in front.
inline bool same_extents(const BlobSpec& b, const Shape& s) {
  std::vector<std::int64_t> want(s.extents().begin(), s.extents().end());
  if (!b.shape && want.size() < 4) want.insert(want.begin(), 4 - want.size(), 1);
  return blob_extents(b) == want;
}

/// Numbers with their shape, as they are written: floats as `data`, doubles as `double_data`.
template <class T>
BlobSpec to_blob(const Shape& shape, std::vector<T> values) {
  BlobSpec b;
  b.shape = BlobShape{{shape.extents().begin(), shape.extents().end()}};
  if constexpr (std::same_as<T, float>)
    b.data = std::move(values);
  else
    b.double_data = std::move(values);
  return b;
}

/// Throws ShapeError, which names `what`, when a blob has another shape, and DataError when numbers are missing.
inline void check_blob(const BlobSpec& b, const Shape& shape, const std::string& what) {
  if (!same_extents(b, shape)) {
    std::string got;
    for (const std::int64_t e : blob_extents(b)) got += cat(e, " ");
    throw ShapeError(
        cat(what, " has shape ", got, "in the file, but ", shape,
            " in the net: rename the layer to leave it out, or use the net the weights were made for"));
  }
  const std::size_t n = b.double_data.empty() ? b.data.size() : b.double_data.size();
  if (static_cast<std::int64_t>(n) != shape.size())
    throw DataError(
        cat(what, " holds ", n, " numbers where its shape says ", shape.size(), ": the file is damaged"));
}

/// Copies the numbers of a blob that was checked.
template <class T, class B>
void copy_blob(B& b, const BlobSpec& from, std::span<T> to) {
  const auto copy = [&]<class N>(const std::vector<N>& numbers) {
    if constexpr (std::same_as<N, T>) {
      b.copy_in(to.data(), numbers.data(), to.size_bytes());
    } else {
      const std::vector<T> converted(numbers.begin(), numbers.end());
      b.copy_in(to.data(), converted.data(), to.size_bytes());
    }
  };
  if (from.double_data.empty())
    copy(from.data);
  else
    copy(from.double_data);
}

namespace detail {
/// A piece of a flat buffer that is one blob of a layer.
template <class T>
struct LayerBlob {
  std::string name;
  Shape shape;
  std::span<T> values;
};

/// The blobs of layer i, in the buffers that the net shares with others. Writing to them needs a new
/// Parameters::edit() before: pass its span.
template <class T, class B>
std::vector<LayerBlob<T>> layer_blobs(const Net<T, B>& net, std::size_t i, std::span<T> values) {
  const NetPlan& plan = net.plan();
  Parameters<T, B>& p = *net.parameters();
  std::vector<LayerBlob<T>> blobs;
  for (const int index : plan.layers[i].params) {
    const Segment& want = plan.segments[static_cast<std::size_t>(index)];
    for (const Segment& s : p.segments())
      if ((s.layer == want.layer && s.param == want.param) ||
          (!want.shared_name.empty() && s.shared_name == want.shared_name)) {
        blobs.push_back({want.param, s.shape, values.subspan(s.offset, s.count)});
        break;
      }
  }
  for (const int index : plan.layers[i].state) {
    const StateSegment& want = plan.state[static_cast<std::size_t>(index)];
    for (const StateSegment& s : p.state_segments())
      if (s.layer == want.layer && s.plan.name == want.plan.name)
        blobs.push_back({s.plan.name, s.plan.shape,
                         p.state().subspan(s.offset, static_cast<std::size_t>(s.plan.shape.size()))});
  }
  return blobs;
}
}  // namespace detail

/// The net's spec with the weights of every layer in its blobs.
template <class T, class B>
NetSpec with_weights(B& b, const Net<T, B>& net) {
  NetSpec out = net.spec();
  const std::span<const T> read_only = net.parameters()->values();
  const std::span<T> values(const_cast<T*>(read_only.data()), read_only.size());  // only read here
  for (std::size_t i = 0; i < out.layers.size(); ++i) {
    out.layers[i].blobs.clear();
    for (const auto& blob : detail::layer_blobs(net, i, values)) {
      std::vector<T> host(blob.values.size());
      b.copy_out(host.data(), blob.values.data(), blob.values.size_bytes());
      out.layers[i].blobs.push_back(to_blob(blob.shape, std::move(host)));
    }
  }
  return out;
}

/// What copy_weights did, by layer name.
struct CopyReport {
  std::vector<std::string> copied;
  std::vector<std::string> missing;  // layers of the net with weights, but not in the file: they keep theirs
  std::vector<std::string> unused;   // layers of the file with weights that the net has no use for

  std::string text() const {
    std::string out = cat("copied ", copied.size(), copied.size() == 1 ? " layer" : " layers");
    const auto list = [&](std::string_view title, const std::vector<std::string>& names) {
      if (names.empty()) return;
      out += cat("; ", title, ":");
      for (const std::string& n : names) out += cat(" ", n);
    };
    list("not in the file", missing);
    list("not in the net", unused);
    return out;
  }
};

/// Copies weights by layer name. Nothing is changed when it throws: ShapeError or DataError with layer and
/// blob, SpecError for V1 files.
template <class T, class B>
CopyReport copy_weights(B& b, Net<T, B>& net, const NetSpec& from) {
  for (const Field& f : from.other.fields)
    if (f.number == 2)
      throw SpecError(
          "these are weights of a V1 net (`layers`): turn them into V2 with Caffe's upgrade_net_proto_binary "
          "first");
  CopyReport report;
  std::vector<const LayerSpec*> sources(net.plan().layers.size());
  std::vector<bool> used(from.layers.size(), false);
  const std::span<const T> now = net.parameters()->values();
  const std::span<T> values(const_cast<T*>(now.data()), now.size());  // written below, after edit()
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const std::string& name = net.plan().layers[i].spec.name;
    const auto blobs = detail::layer_blobs(net, i, values);
    const LayerSpec* source = nullptr;
    for (std::size_t k = 0; k < from.layers.size(); ++k)
      if (from.layers[k].name == name) source = &from.layers[k], used[k] = true;
    if (!source || (source->blobs.empty() && !blobs.empty())) {
      if (!blobs.empty()) report.missing.push_back(name);
      continue;
    }
    if (source->blobs.size() != blobs.size())
      throw ShapeError(cat("layer '", name, "' has ", source->blobs.size(), " blobs in the file, but ",
                           blobs.size(), " in the net"));
    for (std::size_t k = 0; k < blobs.size(); ++k)
      check_blob(source->blobs[k], blobs[k].shape,
                 cat("layer '", name, "' blob ", k, " (", blobs[k].name, ")"));
    sources[i] = source;
    if (!blobs.empty()) report.copied.push_back(name);
  }
  for (std::size_t k = 0; k < used.size(); ++k)
    if (!used[k] && !from.layers[k].blobs.empty()) report.unused.push_back(from.layers[k].name);
  const std::span<T> edited = net.parameters()->edit();
  for (std::size_t i = 0; i < sources.size(); ++i) {
    if (!sources[i]) continue;
    const auto blobs = detail::layer_blobs(net, i, edited);
    for (std::size_t k = 0; k < blobs.size(); ++k) copy_blob(b, sources[i]->blobs[k], blobs[k].values);
  }
  return report;
}

}  // namespace crema::inline CREMA_ABI
