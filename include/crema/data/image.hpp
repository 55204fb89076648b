// SPDX-License-Identifier: Apache-2.0
// decode_image: the pixels of an encoded image, recognised by its first bytes: JPEG (component jpeg), PNG
// (component png), binary PGM and PPM.
//
//   Image cat = decode_image(bytes, "cat.jpg");                                     // 3,H,W: B, G, R planes
//   Image tile = decode_image(bytes, "cat.jpg", {.color = false, .height = 28, .width = 28});     // 1,28,28
//
// The pixels are those of OpenCV, which Caffe decodes with: JPEG as libjpeg gives it, grey of colour as Y or
// 0.299 R + 0.587 G + 0.114 B, resizing as cv::resize. The size is read from the header and checked against
// Limits::elements before memory is taken; a damaged or truncated image is a DataError, never a grey patch.
#pragma once

#include "crema/data/jpeg.hpp"
#include "crema/data/png.hpp"

namespace crema::inline CREMA_ABI {

namespace detail {

inline bool begins_with(std::span<const std::uint8_t> bytes, std::initializer_list<int> head) {
  return bytes.size() >= head.size() && std::equal(head.begin(), head.end(), bytes.begin());
}
inline bool is_jpeg(std::span<const std::uint8_t> bytes) { return begins_with(bytes, {0xff, 0xd8, 0xff}); }
inline bool is_png(std::span<const std::uint8_t> bytes) {
  return begins_with(bytes, {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'});
}
inline bool is_pnm(std::span<const std::uint8_t> bytes) {
  return bytes.size() > 2 && bytes[0] == 'P' && (bytes[1] == '5' || bytes[1] == '6') &&
         (bytes[2] == '\n' || bytes[2] == ' ' || bytes[2] == '\r' || bytes[2] == '\t');
}

/// The next number of a PGM or PPM header, comments skipped; -1 if there is none.
inline std::int64_t pnm_number(std::span<const std::uint8_t> bytes, std::size_t& at) {
  bool comment = false;
  for (; at < bytes.size() && (comment || bytes[at] <= ' ' || bytes[at] == '#'); ++at)
    comment = bytes[at] == '#' || (comment && bytes[at] != '\n');
  std::int64_t n = -1;
  for (; at < bytes.size() && bytes[at] >= '0' && bytes[at] <= '9' && n < (1 << 30); ++at)
    n = std::max<std::int64_t>(n, 0) * 10 + (bytes[at] - '0');
  return n;
}

inline Image decode_pnm(std::span<const std::uint8_t> bytes, const std::string& name,
                        std::optional<bool> force_color, const Limits& limits) {
  const bool in_color = bytes[1] == '6', color = force_color.value_or(in_color);
  std::size_t at = 2;
  const std::int64_t width = pnm_number(bytes, at), height = pnm_number(bytes, at),
                     most = pnm_number(bytes, at), depth = in_color ? 3 : 1;
  if (most != 255)
    throw DataError(cat(name, ": a PGM or PPM image with a largest value of 255 is read, not one of ", most));
  check_image_size(name, 3, height, width, limits);
  const auto row = static_cast<std::size_t>(width * depth), size = row * static_cast<std::size_t>(height);
  if (bytes.size() - at < size + 1)
    throw DataError(cat(name, ": truncated: ", height, " x ", width, " pixels take ", size, " bytes, but ",
                        bytes.size() - at, " follow the header: fetch the file again"));
  Image out{{color ? 3 : 1, height, width}, {}};
  out.pixels.resize(static_cast<std::size_t>(out.shape.size()));
  std::vector<std::uint8_t> changed(static_cast<std::size_t>(width * out.shape[0]));
  const std::uint8_t* from = bytes.data() + at + 1;  // one white space
  for (std::int64_t y = 0; y < height; ++y, from += row) {
    if (color == in_color) {
      scatter_row(from, y, out);
      continue;
    }
    for (std::size_t x = 0; x < static_cast<std::size_t>(width); ++x)
      if (color)
        std::fill_n(changed.begin() + static_cast<std::ptrdiff_t>(3 * x), 3, from[x]);
      else
        changed[x] = static_cast<std::uint8_t>(
            (from[3 * x] * 4899 + from[3 * x + 1] * 9617 + from[3 * x + 2] * 1868 + 8192) >> 14);
    scatter_row(changed.data(), y, out);
  }
  return out;
}

[[noreturn]] inline void without_component(const std::string& name, const char* kind, const char* component) {
  throw DataError(cat(name, ": is a ", kind, ", and this program was built without the component ", component,
                      ": link crema::", component));
}

}  // namespace detail

/// Whether decode_image knows the kind by its first bytes, built with its component or not.
inline bool is_encoded_image(std::span<const std::uint8_t> bytes) {
  return detail::is_jpeg(bytes) || detail::is_png(bytes) || detail::is_pnm(bytes);
}

/// Decodes, and resizes if asked to: C,H,W bytes, C = 1 or 3 (B, G, R). `name` is for messages. Throws
/// DataError for bytes that are damaged, truncated, too large for the limits, or of no kind known here.
inline Image decode_image(std::span<const std::uint8_t> bytes, const std::string& name,
                          const ImageOptions& o = {}, const Limits& limits = {}) {
  if ((o.height == 0) != (o.width == 0))
    throw SpecError(
        cat("an image is resized to a height and a width: give both, not ", o.height, " x ", o.width));
  if (o.height != 0) detail::check_image_size(cat("resized, ", name), 3, o.height, o.width, limits);
  if (!is_encoded_image(bytes))
    throw DataError(cat(name, ": no image that can be read: it begins like no JPEG, PNG, PGM or PPM"));
  Image image;
  if (detail::is_jpeg(bytes)) {
#if defined(CREMA_HAS_JPEG)
    image = detail::decode_jpeg(bytes, name, o.color, limits);
#else
    detail::without_component(name, "JPEG", "jpeg");
#endif
  } else if (detail::is_png(bytes)) {
#if defined(CREMA_HAS_PNG)
    image = detail::decode_png(bytes, name, o.color, limits);
#else
    detail::without_component(name, "PNG", "png");
#endif
  } else {
    image = detail::decode_pnm(bytes, name, o.color, limits);
  }
  return o.height == 0 ? image : resize_image(image, o.height, o.width);
}

}  // namespace crema::inline CREMA_ABI
