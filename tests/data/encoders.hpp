// SPDX-License-Identifier: Apache-2.0
// Images encoded by libjpeg and libpng, for tests: rows of interleaved channels, red first, made of a pattern.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#if defined(CREMA_HAS_JPEG) && defined(CREMA_HAS_PNG)
#include <png.h>
#include <stdio.h>

#include <jpeglib.h>

#include <cstdlib>

/// A smooth pattern that differs per channel and class.
inline std::vector<std::uint8_t> pattern(int height, int width, int channels, int seed = 0) {
  std::vector<std::uint8_t> p;
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < channels; ++c)
        p.push_back(
            static_cast<std::uint8_t>((x * (c + 3) * 2 + y * (7 - 2 * c) + seed * 37 + c * 50) & 255));
  return p;
}

/// `channels`: 1 grey, 3 RGB, 4 CMYK.
inline std::string jpeg(const std::vector<std::uint8_t>& pixels, int height, int width, int channels,
                        bool progressive = false) {
  jpeg_compress_struct c{};
  jpeg_error_mgr errors{};
  c.err = jpeg_std_error(&errors);
  jpeg_create_compress(&c);
  unsigned char* out = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&c, &out, &size);
  c.image_width = static_cast<JDIMENSION>(width), c.image_height = static_cast<JDIMENSION>(height);
  c.input_components = channels;
  c.in_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_CMYK;
  jpeg_set_defaults(&c);
  jpeg_set_quality(&c, 90, TRUE);
  if (progressive) jpeg_simple_progression(&c);
  jpeg_start_compress(&c, TRUE);
  for (int y = 0; y < height; ++y) {
    auto* row = const_cast<JSAMPROW>(pixels.data() + y * width * channels);
    jpeg_write_scanlines(&c, &row, 1);
  }
  jpeg_finish_compress(&c);
  std::string bytes(reinterpret_cast<char*>(out), size);
  jpeg_destroy_compress(&c);
  std::free(out);
  return bytes;
}

/// Rows as libpng takes them for this color type and depth; a palette of 256 colours where it needs one.
inline std::string png(const std::vector<std::uint8_t>& rows, int height, int width, int type, int depth,
                       bool interlaced = false) {
  std::string bytes;
  png_structp p = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(p);
  png_set_write_fn(
      p, &bytes,
      [](png_structp w, png_bytep from, std::size_t n) {
        static_cast<std::string*>(png_get_io_ptr(w))->append(reinterpret_cast<char*>(from), n);
      },
      [](png_structp) {});
  png_set_IHDR(p, info, static_cast<png_uint_32>(width), static_cast<png_uint_32>(height), depth, type,
               interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  if (type == PNG_COLOR_TYPE_PALETTE) {
    png_color colors[256];
    png_byte alpha[256];
    for (int i = 0; i < 256; ++i)
      colors[i] = {static_cast<png_byte>(i), static_cast<png_byte>(255 - i), static_cast<png_byte>(i * 7)},
      alpha[i] = static_cast<png_byte>(i / 2);
    png_set_PLTE(p, info, colors, 1 << depth);
    png_set_tRNS(p, info, alpha, 1 << depth, nullptr);
  }
  png_write_info(p, info);
  std::vector<png_bytep> each;
  const std::size_t row = png_get_rowbytes(p, info);
  for (int y = 0; y < height; ++y)
    each.push_back(const_cast<png_bytep>(rows.data() + static_cast<std::size_t>(y) * row));
  png_write_image(p, each.data());
  png_write_end(p, info);
  png_destroy_write_struct(&p, &info);
  return bytes;
}
#endif

inline std::vector<std::uint8_t> as_bytes(const std::string& s) { return {s.begin(), s.end()}; }
