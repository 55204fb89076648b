// SPDX-License-Identifier: Apache-2.0
// OpenCV's Caffe reader as an outside oracle: a prototxt and a .caffemodel that crema wrote give the same
// outputs there.
#include <opencv2/dnn.hpp>

#include "../data/temporary.hpp"
#include "catch.hpp"
#include "crema/caffe/export.hpp"
#include "crema/caffe/import.hpp"
#include "crema/cpu/cpu.hpp"
#include "crema/layers/all.hpp"

using namespace crema;

namespace {
constexpr const char* deploy = R"(name: "oracle"
input: "data" input_shape { dim: [BATCH, 3, 23, 19] }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 8 kernel_h: 5 kernel_w: 3 stride: 2 pad_h: 2 pad_w: 1 weight_filler { type: "xavier" } bias_filler { type: "gaussian" std: 0.1 } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" relu_param { negative_slope: 0.1 } }
layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1" lrn_param { local_size: 5 alpha: 0.5 beta: 0.75 } }
layer { name: "pool1" type: "Pooling" bottom: "norm1" top: "pool1" pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 12 kernel_size: 3 pad: 2 dilation: 2 group: 4 weight_filler { type: "xavier" } } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2" pooling_param { pool: AVE kernel_size: 2 stride: 1 } }
layer { name: "drop" type: "Dropout" bottom: "pool2" top: "pool2" }
layer { name: "ip1" type: "InnerProduct" bottom: "pool2" top: "ip1" inner_product_param { num_output: 17 weight_filler { type: "xavier" } } }
layer { name: "relu3" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "flat" type: "Flatten" bottom: "ip1" top: "flat" }
layer { name: "ip2" type: "InnerProduct" bottom: "flat" top: "ip2" inner_product_param { num_output: 7 weight_filler { type: "xavier" } bias_filler { type: "constant" value: 0.2 } } }
layer { name: "prob" type: "Softmax" bottom: "ip2" top: "prob" })";
}

TEST_CASE("OpenCV reads what crema writes, and computes the same", "[caffe]") {
  const int batch = GENERATE(1, 20);  // a canonical net, and a native one
  const TemporaryFolder folder;
  std::string text = deploy;
  text.replace(text.find("BATCH"), 5, cat(batch));
  Cpu cpu;
  Net<float, Cpu> net(cpu, read_net(folder.write("in.prototxt", text)), all_layers<float, Cpu>(),
                      {.phase = Phase::test, .keep = {"norm1", "pool2"}, .seed = 4});
  save_net(net.spec(), folder.path + "/net.prototxt");
  save_weights(cpu, net, folder.path + "/net.caffemodel");

  const int extents[] = {batch, 3, 23, 19};
  cv::Mat input(4, extents, CV_32F);
  std::vector<float> x(input.total());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>((i * 7919) % 1000) / 500 - 1;
  std::copy(x.begin(), x.end(), input.ptr<float>());
  net.write("data", x);
  net.forward({.phase = Phase::test});

  cv::dnn::Net oracle =
      cv::dnn::readNetFromCaffe(folder.path + "/net.prototxt", folder.path + "/net.caffemodel");
  oracle.setInput(input, "data");
  for (const char* blob : {"norm1", "pool2", "prob"}) {
    INFO(blob);
    const cv::Mat want = oracle.forward(blob);
    std::vector<float> got(static_cast<std::size_t>(net.shape(blob).size()));
    net.read(blob, got);
    REQUIRE(want.total() == got.size());
    float worst = 0;
    for (std::size_t i = 0; i < got.size(); ++i)
      worst = std::max(worst, std::abs(got[i] - want.ptr<float>()[i]));
    CHECK(worst < 2e-5f);
  }
}
