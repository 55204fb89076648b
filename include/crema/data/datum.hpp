// SPDX-License-Identifier: Apache-2.0
// Datum, the record of Caffe's databases, as a sample and back: C,H,W bytes, floats, or an encoded image.
//
//   Shape shape = read_datum(value, "train_lmdb: record '00000007'", {}, limits, sample);
//   std::string value = write_wire(datum_of(image, label));
#pragma once

#include "crema/data/dataset.hpp"
#include "crema/data/image.hpp"
#include "crema/spec/wire_format.hpp"

namespace crema::inline CREMA_ABI {

namespace detail {

inline Shape datum_shape(const DatumSpec& d, const std::string& name, const Limits& limits) {
  const std::int64_t extents[] = {d.channels, d.height, d.width};
  std::int64_t size = 1;
  for (const std::int64_t e : extents) {
    if (e <= 0 || e > limits.elements / size)
      throw DataError(cat(name, ": a Datum of ", d.channels, " x ", d.height, " x ", d.width, " values"));
    size *= e;
  }
  const std::size_t have = d.data.empty() ? d.float_data.size() : d.data.size();
  if (static_cast<std::int64_t>(have) != size)
    throw DataError(cat(name, ": a Datum of ", d.channels, " x ", d.height, " x ", d.width, " values holds ",
                        have, ": it is damaged, or an encoded image without `encoded: true`"));
  return Shape(extents);
}

}  // namespace detail

/// Fills `out` with the sample of a serialised Datum, encoded images decoded, and gives its C,H,W. Throws
/// DataError, which begins with `name`, for a damaged one; SpecError where ImageOptions::color is set and the
/// Datum is no encoded image, or floats are to be resized.
inline Shape read_datum(std::string_view bytes, const std::string& name, const ImageOptions& o,
                        const Limits& limits, Sample& out) {
  DatumSpec d;
  try {
    d = parse_wire<DatumSpec>(bytes, name, limits);
  } catch (const ParseError& e) {
    throw DataError(e.message());
  }
  out.bytes = {}, out.values = {}, out.label = static_cast<float>(d.label);
  Image image;
  if (d.encoded) {
    image =
        decode_image({reinterpret_cast<const std::uint8_t*>(d.data.data()), d.data.size()}, name, o, limits);
  } else {
    if (o.color)
      throw SpecError(cat(name, ": force_color and force_gray are for encoded images, and this is none"));
    image.shape = detail::datum_shape(d, name, limits);
    if (d.data.empty()) {
      if (o.height != 0) throw SpecError(cat(name, ": holds floats, which are not resized"));
      out.own_values = std::move(d.float_data);
      out.values = out.own_values;
      return image.shape;
    }
    image.pixels.assign(d.data.begin(), d.data.end());
    if (o.height != 0) image = resize_image(image, o.height, o.width);
  }
  out.own = std::move(image.pixels);
  out.bytes = out.own;
  return image.shape;
}

/// The Datum of decoded pixels, as convert_imageset writes it.
inline DatumSpec datum_of(const Image& image, int label) {
  DatumSpec d;
  d.channels = static_cast<int>(image.shape[0]), d.height = static_cast<int>(image.shape[1]);
  d.width = static_cast<int>(image.shape[2]), d.label = label;
  d.data.assign(image.pixels.begin(), image.pixels.end());
  return d;
}

}  // namespace crema::inline CREMA_ABI
