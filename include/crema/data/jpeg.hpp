// SPDX-License-Identifier: Apache-2.0
// JPEG, decoded by libjpeg (component jpeg, CREMA_HAS_JPEG). data/image.hpp is the door to it.
//
// Channels and colours come out as OpenCV's imdecode gives them, EXIF's orientation not applied (OpenCV 2 and
// Caffe's databases know none). A file that is damaged or ends early is an error where libjpeg would only
// warn and paint the rest grey; bytes too many are forgiven.
#pragma once

#include "crema/data/pixels.hpp"

#if defined(CREMA_HAS_JPEG)
#include <setjmp.h>
#include <stdio.h>  // jpeglib.h needs it

#include <jpeglib.h>

#include <jerror.h>  // knows its codes by what jpeglib.h defined

namespace crema::inline CREMA_ABI {
namespace detail {

/// libjpeg's state. Plain data alone: its errors come back by longjmp, which runs no destructors, and stay
/// inside the two functions below.
struct JpegReader {
  jpeg_decompress_struct jpeg;
  jpeg_error_mgr errors;
  jpeg_source_mgr source;
  jpeg_progress_mgr progress;
  jmp_buf back;
  char message[JMSG_LENGTH_MAX];
  bool ended;
};

inline constexpr int jpeg_scans = 256;  // of one image; a hostile file makes each as slow as the whole
inline constexpr JOCTET jpeg_eoi[] = {0xff, JPEG_EOI};

inline JpegReader& jpeg_reader(j_common_ptr c) { return *static_cast<JpegReader*>(c->client_data); }
inline JpegReader& jpeg_reader(j_decompress_ptr c) { return *static_cast<JpegReader*>(c->client_data); }

[[noreturn]] inline void jpeg_failed(j_common_ptr c) {
  JpegReader& r = jpeg_reader(c);
  c->err->format_message(c, r.message);
  longjmp(r.back, 1);
}
[[noreturn]] inline void jpeg_failed(JpegReader& r, const char* why) {
  snprintf(r.message, sizeof r.message, "%s", why);
  longjmp(r.back, 1);
}
/// Warnings that mean that pixels are lost.
inline void jpeg_warned(j_common_ptr c, int level) {
  if (level >= 0) return;
  switch (c->err->msg_code) {
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_MUST_RESYNC:
#if defined(D_ARITH_CODING_SUPPORTED)
    case JWRN_ARITH_BAD_CODE:
#endif
    case JWRN_NOT_SEQUENTIAL:
    case JWRN_BOGUS_PROGRESSION:
      jpeg_failed(c);
    default:
      ++c->err->num_warnings;
  }
}
inline void jpeg_silent(j_common_ptr) {}

inline void jpeg_begin_source(j_decompress_ptr) {}
/// The bytes are at their end. An image in one scan that lacks its end marker only is whole: it gets one. If
/// pixels are missing too, the next call or a warning tells.
inline boolean jpeg_more(j_decompress_ptr c) {
  JpegReader& r = jpeg_reader(c);
  if (r.ended || c->progressive_mode || c->comps_in_scan < c->num_components) jpeg_failed(r, "it ends early");
  r.ended = true;
  r.source.next_input_byte = jpeg_eoi, r.source.bytes_in_buffer = sizeof jpeg_eoi;
  return TRUE;
}
inline void jpeg_skip(j_decompress_ptr c, long n) {
  jpeg_source_mgr& s = jpeg_reader(c).source;
  const std::size_t skipped = n <= 0 ? 0 : std::min(static_cast<std::size_t>(n), s.bytes_in_buffer);
  s.next_input_byte += skipped, s.bytes_in_buffer -= skipped;
}
inline void jpeg_count_scans(j_common_ptr c) {
  JpegReader& r = jpeg_reader(c);
  if (r.jpeg.input_scan_number > jpeg_scans) jpeg_failed(r, "it has more than 256 scans");
}

/// False, with a message, when the header cannot be read.
inline bool jpeg_header(JpegReader& r, const std::uint8_t* bytes, std::size_t size) {
  r.jpeg.err = jpeg_std_error(&r.errors);
  r.errors.error_exit = [](j_common_ptr c) { jpeg_failed(c); };
  r.errors.emit_message = jpeg_warned, r.errors.output_message = jpeg_silent;
  r.jpeg.client_data = &r;
  if (setjmp(r.back)) return false;
  jpeg_create_decompress(&r.jpeg);
  r.source = {
      bytes, size, jpeg_begin_source, jpeg_more, jpeg_skip, jpeg_resync_to_restart, jpeg_begin_source};
  r.progress.progress_monitor = jpeg_count_scans;
  r.jpeg.src = &r.source, r.jpeg.progress = &r.progress;
  jpeg_read_header(&r.jpeg, TRUE);
  return true;
}

/// Cyan, magenta, yellow and black, as Adobe stores them, to red, green, blue or to grey: OpenCV's arithmetic.
inline void from_cmyk(std::uint8_t* row, std::int64_t width, bool color) {
  for (std::int64_t x = 0; x < width; ++x) {
    const int k = row[4 * x + 3];
    const int c = row[4 * x], m = row[4 * x + 1], y = row[4 * x + 2];
    const int r = k - ((255 - c) * k >> 8), g = k - ((255 - m) * k >> 8), b = k - ((255 - y) * k >> 8);
    if (color) {
      row[3 * x] = static_cast<std::uint8_t>(r), row[3 * x + 1] = static_cast<std::uint8_t>(g);
      row[3 * x + 2] = static_cast<std::uint8_t>(b);
    } else {
      row[x] = static_cast<std::uint8_t>((r * 4899 + g * 9617 + b * 1868 + 8192) >> 14);
    }
  }
}

/// False, with a message, when the pixels cannot be read. `row` holds four bytes a pixel.
inline bool jpeg_pixels(JpegReader& r, std::uint8_t* row, Image& out, bool color) {
  if (setjmp(r.back)) return false;
  r.jpeg.out_color_space = r.jpeg.num_components == 4 ? JCS_CMYK : color ? JCS_RGB : JCS_GRAYSCALE;
  jpeg_start_decompress(&r.jpeg);
  while (r.jpeg.output_scanline < r.jpeg.output_height) {
    const std::int64_t y = r.jpeg.output_scanline;
    if (jpeg_read_scanlines(&r.jpeg, &row, 1) != 1) jpeg_failed(r, "a row is missing");
    if (r.jpeg.num_components == 4) from_cmyk(row, r.jpeg.output_width, color);
    scatter_row(row, y, out);
  }
  jpeg_finish_decompress(&r.jpeg);
  return true;
}

inline Image decode_jpeg(std::span<const std::uint8_t> bytes, const std::string& name,
                         std::optional<bool> force_color, const Limits& limits) {
  JpegReader r{};
  struct Destroy {
    JpegReader& r;
    ~Destroy() { jpeg_destroy_decompress(&r.jpeg); }
  } destroy{r};
  const auto fail = [&](const std::string& why) {
    throw DataError(cat(name, ": a damaged JPEG: ", why, ": fetch the file again"));
  };
  if (!jpeg_header(r, bytes.data(), bytes.size())) fail(r.message);
  if (r.jpeg.num_components == 2 || r.jpeg.num_components > 4)
    fail(cat(r.jpeg.num_components, " components"));
  const bool color = force_color.value_or(r.jpeg.num_components > 1);
  const std::int64_t height = r.jpeg.image_height, width = r.jpeg.image_width;
  check_image_size(name, color ? 3 : 1, height, width, limits);
  // A block of 64 pixels takes a bit at the least.
  if (height * width / 1024 > static_cast<std::int64_t>(bytes.size()))
    fail(cat(bytes.size(), " bytes are too few for ", height, " x ", width, " pixels"));
  std::vector<std::uint8_t> row(4 * static_cast<std::size_t>(width));
  Image out{{color ? 3 : 1, height, width}, {}};
  out.pixels.resize(static_cast<std::size_t>(out.shape.size()));
  if (!jpeg_pixels(r, row.data(), out, color)) fail(r.message);
  return out;
}

}  // namespace detail
}  // namespace crema::inline CREMA_ABI
#endif
