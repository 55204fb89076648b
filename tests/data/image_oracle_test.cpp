// SPDX-License-Identifier: Apache-2.0
// OpenCV, which Caffe decodes and resizes with, gives the same pixels.
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "catch.hpp"
#include "crema/data/image.hpp"
#include "encoders.hpp"

using namespace crema;

namespace {

/// The largest difference between an image and OpenCV's; 256 if the shapes differ.
int difference(const Image& ours, const cv::Mat& m) {
  if (ours.shape != Shape{m.channels(), m.rows, m.cols}) return 256;
  int worst = 0;
  for (int c = 0; c < m.channels(); ++c)
    for (int y = 0; y < m.rows; ++y)
      for (int x = 0; x < m.cols; ++x)
        worst =
            std::max(worst, std::abs(ours.pixels[static_cast<std::size_t>((c * m.rows + y) * m.cols + x)] -
                                     m.data[static_cast<std::size_t>(y) * m.step +
                                            static_cast<std::size_t>(x * m.channels() + c)]));
  return worst;
}

int decoded_difference(const std::string& bytes, bool color) {
  const std::vector<std::uint8_t> b = as_bytes(bytes);
  const cv::Mat m = cv::imdecode(b, color ? cv::IMREAD_COLOR : cv::IMREAD_GRAYSCALE);
  return difference(decode_image(b, "image", {.color = color}), m);
}

}  // namespace

TEST_CASE("JPEG and PNG are decoded as OpenCV decodes them", "[data]") {
  const bool color = GENERATE(true, false), other = GENERATE(true, false);
  INFO("color " << color << ", progressive or interlaced " << other);
  for (const auto& [height, width] : {std::pair{48, 64}, {31, 29}, {1, 1}, {7, 100}}) {
    INFO(height << " x " << width);
    for (const int channels : {1, 3, 4})
      CHECK(decoded_difference(jpeg(pattern(height, width, channels), height, width, channels, other),
                               color) <= 1);
    const struct {
      int type, channels, depth;
    } kinds[] = {{PNG_COLOR_TYPE_GRAY, 1, 8},    {PNG_COLOR_TYPE_GRAY, 1, 1},
                 {PNG_COLOR_TYPE_GRAY, 1, 16},   {PNG_COLOR_TYPE_RGB, 3, 8},
                 {PNG_COLOR_TYPE_RGB, 3, 16},    {PNG_COLOR_TYPE_RGBA, 4, 8},
                 {PNG_COLOR_TYPE_RGBA, 4, 16},   {PNG_COLOR_TYPE_GRAY_ALPHA, 2, 8},
                 {PNG_COLOR_TYPE_PALETTE, 1, 8}, {PNG_COLOR_TYPE_PALETTE, 1, 4}};
    for (const auto& k : kinds) {
      INFO("type " << k.type << ", depth " << k.depth);
      CHECK(decoded_difference(
                png(pattern(height, width, k.channels * 2), height, width, k.type, k.depth, other), color) ==
            0);
    }
  }
}

TEST_CASE("resizing gives OpenCV's bytes", "[data]") {
  const int channels = GENERATE(1, 3);
  const std::vector<std::uint8_t> b =
      as_bytes(png(pattern(48, 64, channels), 48, 64, channels == 1 ? 0 : 2, 8));
  const cv::Mat m = cv::imdecode(b, cv::IMREAD_UNCHANGED);
  const Image ours = decode_image(b, "image");
  for (const auto& [height, width] :
       {std::pair{24, 32}, {96, 128}, {17, 91}, {256, 256}, {1, 1}, {48, 63}, {5, 200}}) {
    INFO(height << " x " << width);
    cv::Mat want;
    cv::resize(m, want, {width, height}, 0, 0, cv::INTER_LINEAR);
    CHECK(difference(resize_image(ours, height, width), want) == 0);
  }
}
