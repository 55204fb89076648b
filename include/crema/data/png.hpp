// SPDX-License-Identifier: Apache-2.0
// PNG, decoded by libpng (component png, CREMA_HAS_PNG). data/image.hpp is the door to it.
//
// To 8 bits a channel as OpenCV's imdecode: palettes and small depths expanded, the low bytes of 16 bits and
// alpha dropped.
#pragma once

#include "crema/data/pixels.hpp"

#if defined(CREMA_HAS_PNG)
#include <png.h>
#include <setjmp.h>

#include <cstring>

namespace crema::inline CREMA_ABI {
namespace detail {

/// libpng's state. Plain data alone: its errors come back by longjmp, which runs no destructors, and stay
/// inside the two functions below.
struct PngReader {
  png_structp png;
  png_infop info;
  const std::uint8_t *at, *end;
  char message[128];
};

[[noreturn]] inline void png_failed(png_structp png, png_const_charp why) {
  auto& r = *static_cast<PngReader*>(png_get_error_ptr(png));
  std::strncpy(r.message, why, sizeof r.message - 1);
  png_longjmp(png, 1);
}
inline void png_silent(png_structp, png_const_charp) {}
inline void png_take(png_structp png, png_bytep to, std::size_t n) {
  auto& r = *static_cast<PngReader*>(png_get_io_ptr(png));
  if (n > static_cast<std::size_t>(r.end - r.at)) png_error(png, "it ends early");
  std::memcpy(to, r.at, n);
  r.at += n;
}

/// False, with a message, when the header cannot be read.
inline bool png_header(PngReader& r) {
  if (setjmp(png_jmpbuf(r.png))) return false;
  png_set_read_fn(r.png, &r, png_take);
  png_read_info(r.png, r.info);
  return true;
}

/// False, with a message, when the pixels cannot be read. `rows` point to where each row goes.
inline bool png_pixels(PngReader& r, png_bytepp rows, std::size_t row_bytes, bool color) {
  if (setjmp(png_jmpbuf(r.png))) return false;
  const int depth = png_get_bit_depth(r.png, r.info), type = png_get_color_type(r.png, r.info);
  if (depth == 16) png_set_strip_16(r.png);
  png_set_strip_alpha(r.png);
  if (type == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(r.png);
  if ((type & PNG_COLOR_MASK_COLOR) == 0 && depth < 8) png_set_expand_gray_1_2_4_to_8(r.png);
  if (!color)
    png_set_rgb_to_gray(r.png, PNG_ERROR_ACTION_NONE, 0.299, 0.587);
  else if ((type & PNG_COLOR_MASK_COLOR) == 0)
    png_set_gray_to_rgb(r.png);
  png_set_interlace_handling(r.png);
  png_read_update_info(r.png, r.info);
  if (png_get_rowbytes(r.png, r.info) != row_bytes) png_error(r.png, "its rows have another length");
  png_read_image(r.png, rows);
  png_read_end(r.png, nullptr);
  return true;
}

inline Image decode_png(std::span<const std::uint8_t> bytes, const std::string& name,
                        std::optional<bool> force_color, const Limits& limits) {
  PngReader r{nullptr, nullptr, bytes.data(), bytes.data() + bytes.size(), {}};
  struct Destroy {
    PngReader& r;
    ~Destroy() { png_destroy_read_struct(&r.png, &r.info, nullptr); }
  } destroy{r};
  r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, png_failed, png_silent);
  if (r.png) r.info = png_create_info_struct(r.png);
  if (!r.info) throw DataError(cat(name, ": libpng cannot be started"));
  const auto fail = [&](const std::string& why) {
    throw DataError(cat(name, ": a damaged PNG: ", why, ": fetch the file again"));
  };
  if (!png_header(r)) fail(r.message);
  const bool color = force_color.value_or((png_get_color_type(r.png, r.info) & PNG_COLOR_MASK_COLOR) != 0);
  const std::int64_t height = png_get_image_height(r.png, r.info), width = png_get_image_width(r.png, r.info);
  check_image_size(name, color ? 3 : 1, height, width, limits);
  // Nothing is packed by more than 1032 to 1.
  if (static_cast<std::int64_t>(png_get_rowbytes(r.png, r.info)) / 1032 * height >
      static_cast<std::int64_t>(bytes.size()))
    fail(cat(bytes.size(), " bytes are too few for ", height, " x ", width, " pixels"));
  const std::size_t row_bytes = static_cast<std::size_t>(width) * (color ? 3 : 1);
  std::vector<std::uint8_t> all(row_bytes * static_cast<std::size_t>(height));
  std::vector<png_bytep> rows;
  for (std::int64_t y = 0; y < height; ++y)
    rows.push_back(all.data() + static_cast<std::size_t>(y) * row_bytes);
  if (!png_pixels(r, rows.data(), row_bytes, color)) fail(r.message);
  Image out{{color ? 3 : 1, height, width}, {}};
  out.pixels.resize(static_cast<std::size_t>(out.shape.size()));
  for (std::int64_t y = 0; y < height; ++y) scatter_row(rows[static_cast<std::size_t>(y)], y, out);
  return out;
}

}  // namespace detail
}  // namespace crema::inline CREMA_ABI
#endif
