// SPDX-License-Identifier: Apache-2.0
// A job in files: net.prototxt, solver.prototxt, and 90 images in an IDX pair, in a folder of their own.
#pragma once

#include "../train/tiny.hpp"
#include "crema/caffe/export.hpp"
#include "crema/caffe/job.hpp"

namespace crema_test {

inline std::string small_net() {
  return cat(R"(name: "small"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { scale: 0.00390625 } data_param { source: "tiny-images-idx3-ubyte" batch_size: 8 } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { scale: 0.00390625 } data_param { source: "tiny-images-idx3-ubyte" batch_size: 20 } })",
             tiny_layers, "\n");
}
inline std::string small_solver() {
  return R"(net: "net.prototxt"
test_iter: 5
test_interval: 20
base_lr: 0.05
lr_policy: "fixed"
momentum: 0.9
max_iter: 40
snapshot_prefix: "PREFIX"
random_seed: 1
)";
}

struct SmallJob {
  TemporaryFolder folder;
  std::string net = small_net(), solver = small_solver();

  SmallJob() {
    folder.write("tiny-images-idx3-ubyte", idx({90, 6, 6}, tiny_pixels()));
    folder.write("tiny-labels-idx1-ubyte", idx({90}, tiny_labels()));
  }
  std::string path(const std::string& name) const { return folder.path + "/" + name; }
  /// Writes both files; the solver's path.
  std::string write() const {
    std::string s = solver;
    if (const std::size_t at = s.find("PREFIX"); at != std::string::npos) s.replace(at, 6, path("small"));
    folder.write("net.prototxt", net);
    return folder.write("solver.prototxt", s);
  }
  static void replace(std::string& text, const std::string& from, const std::string& to) {
    const std::size_t at = text.find(from);
    if (at == std::string::npos) throw Error(cat("the test replaces '", from, "', which is not there"));
    text.replace(at, from.size(), to);
  }
};

}  // namespace crema_test
