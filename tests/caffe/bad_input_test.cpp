// SPDX-License-Identifier: Apache-2.0
// Bad input, one row each: what is changed in a small job that works, the class of the exception, and what
// its message must say. To add a case, add a row.
#include <signal.h>
#include <sys/resource.h>

#include <functional>

#include "catch.hpp"
#include "small_job.hpp"

using namespace crema_test;

namespace {

enum class Is { spec, shape, parse, data };

struct Case {
  const char* what;
  std::function<void(SmallJob&)> change;
  Is is;
  std::vector<std::string> says;
};

// What a row changes.
auto net(const char* from, const char* to) {
  return [=](SmallJob& j) { SmallJob::replace(j.net, from, to); };
}
auto solver(const char* from, const char* to) {
  return [=](SmallJob& j) { SmallJob::replace(j.solver, from, to); };
}
auto file(const char* name, const std::string& bytes) {
  return [=](SmallJob& j) { j.folder.write(name, bytes); };
}
constexpr const char *images = "tiny-images-idx3-ubyte", *labels = "tiny-labels-idx1-ubyte";

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      // clang-format off
      // --- prototxt
      {"a brace is missing", net("top: \"loss\" }", "top: \"loss\""), Is::parse, {"net.prototxt:", "never closed"}},
      {"an unknown field", net("kernel_size: 3", "kernal_size: 3"), Is::parse, {"net.prototxt:", "did you mean 'kernel_size'?"}},
      {"an unknown message", net("pooling_param", "poling_param"), Is::parse, {"did you mean 'pooling_param'?"}},
      {"a field of another message", net("num_output: 4", "pool: MAX"), Is::parse, {"ConvolutionParameter has no field 'pool'"}},
      {"a word for a number", net("num_output: 4", "num_output: four"), Is::parse, {"'num_output' wants a whole number"}},
      {"a negative count", net("num_output: 4", "num_output: -4"), Is::parse, {"not -4"}},
      {"a fraction for a count", net("num_output: 4", "num_output: 4.5"), Is::parse, {"not 4.5"}},
      {"a number too large", net("batch_size: 8", "batch_size: 99999999999"), Is::parse, {"from 0 to 4294967295"}},
      {"an enum that is none", net("phase: TRAIN", "phase: TRIAN"), Is::parse, {"one of TRAIN, TEST"}},
      {"a field twice", net("type: \"ReLU\"", "type: \"ReLU\" type: \"ReLU\""), Is::parse, {"'type' stands twice"}},
      {"quotes not closed", net("name: \"relu\"", "name: \"relu"), Is::parse, {"not closed on its line"}},
      {"no quotes", net("type: \"ReLU\"", "type: ReLU"), Is::parse, {"'type' wants a string in quotes"}},
      {"binary noise", [](SmallJob& j) { j.net = std::string("\x00\xff\x01\x02", 4); }, Is::parse, {"net.prototxt:1:1"}},
      {"a V1 net", [](SmallJob& j) { j.net = "layers { type: CONVOLUTION }"; }, Is::parse, {"net.prototxt:1:1", "V1", "upgrade_net_proto_text"}},
      {"an empty net", [](SmallJob& j) { j.net = ""; }, Is::spec, {"Data layer"}},
      // --- nets
      {"an unknown layer type", net("type: \"ReLU\"", "type: \"Relu\""), Is::spec, {"net.prototxt:", "'relu'", "no layer type 'Relu'", "ReLU"}},
      {"a bottom that nobody makes", net("bottom: \"pool\"", "bottom: \"pol\""), Is::spec, {"'drop'", "'pol'"}},
      {"a bottom from below", net("bottom: \"data\" top: \"conv\"", "bottom: \"ip\" top: \"conv\""), Is::spec, {"'conv'", "'ip'"}},
      {"a top twice", net("top: \"pool\"", "top: \"data\""), Is::spec, {"'pool'", "'data'", "rename"}},
      {"two layers of one name", net("name: \"ip\"", "name: \"conv\""), Is::spec, {"'conv'", "two layers", "rename"}},
      {"too many bottoms", net("bottom: \"pool\" top: \"drop\"", "bottom: \"pool\" bottom: \"conv\" top: \"drop\""), Is::spec, {"'drop'", "Dropout takes 1 bottom, not 2"}},
      {"too few bottoms", net("bottom: \"ip\" bottom: \"label\" top: \"loss\"", "bottom: \"ip\" top: \"loss\""), Is::spec, {"'loss'", "takes 2"}},
      {"too many tops", net("top: \"ip\"", "top: \"ip\" top: \"ip2\""), Is::spec, {"'ip'", "InnerProduct makes 1 top, not 2"}},
      {"a layer that cannot work in place", net("bottom: \"conv\" top: \"pool\"", "bottom: \"conv\" top: \"conv\""), Is::spec, {"'pool'", "in place"}},
      {"include and exclude", net("include { phase: TEST } }", "include { phase: TEST } exclude { stage: \"x\" } }"), Is::spec, {"include and exclude"}},
      {"too many param", net("param { lr_mult: 1 }", "param {} param {} param {}"), Is::spec, {"'conv'", "2 parameters"}},
      {"loss_weight on no loss", net("top: \"pool\"", "top: \"pool\" loss_weight: 1"), Is::spec, {"'pool'", "only loss layers"}},
      {"shared weights of other shapes", [](SmallJob& j) { SmallJob::replace(j.net, "param { lr_mult: 1 }", "param { name: \"w\" }"), SmallJob::replace(j.net, "top: \"ip\"", "top: \"ip\" param { name: \"w\" }"); }, Is::spec, {"'ip'", "parameter 'w' is shared with layer 'conv'", "shapes differ"}},
      // --- layers
      {"no num_output", net("num_output: 4 ", ""), Is::spec, {"'conv'", "num_output above 0"}},
      {"no kernel_size", net("kernel_size: 3 ", ""), Is::spec, {"'conv'", "kernel_size must be above 0"}},
      {"a kernel larger than its input", net("kernel_size: 3", "kernel_size: 7"), Is::shape, {"'conv'", "does not fit", "smaller"}},
      {"kernel_size and kernel_h", net("kernel_size: 3", "kernel_size: 3 kernel_h: 3 kernel_w: 3"), Is::spec, {"'conv'", "not both"}},
      {"kernel_h alone", net("kernel_size: 3", "kernel_h: 3"), Is::spec, {"'conv'", "both kernel_size_h and kernel_size_w"}},
      {"a stride of 0", net("kernel_size: 3", "kernel_size: 3 stride: 0"), Is::spec, {"'conv'", "stride must be above 0"}},
      {"groups that do not divide", net("kernel_size: 3", "kernel_size: 3 group: 3"), Is::spec, {"'conv'", "group 3 must divide"}},
      {"a filler that is none", net("\"xavier\"", "\"xaver\""), Is::spec, {"no filler type 'xaver'", "xavier"}},
      {"a pooling window larger than its input", net("kernel_size: 2", "kernel_size: 9"), Is::shape, {"'pool'", "does not fit"}},
      {"pad not below the window", net("kernel_size: 2", "kernel_size: 2 pad: 2"), Is::spec, {"'pool'", "pad 2 must be below"}},
      {"stochastic pooling", net("kernel_size: 2", "kernel_size: 2 pool: STOCHASTIC"), Is::spec, {"'pool'", "use MAX or AVE"}},
      {"a dropout of 1", net("dropout_ratio: 0.3", "dropout_ratio: 1"), Is::spec, {"'drop'", "dropout_ratio"}},
      {"an LRN of even size", net("type: \"Dropout\"", "type: \"LRN\" lrn_param { local_size: 4 }"), Is::spec, {"'drop'", "local_size must be odd"}},
      {"an axis that is not there", net("num_output: 3", "num_output: 3 axis: 7"), Is::shape, {"'ip'", "axis"}},
      {"labels that do not fit the scores", net("bottom: \"ip\" bottom: \"label\" top: \"loss\"", "bottom: \"ip\" bottom: \"data\" top: \"loss\""), Is::shape, {"'loss'", "labels"}},
      {"a top_k above the classes", net("top: \"accuracy\"", "top: \"accuracy\" accuracy_param { top_k: 4 }"), Is::spec, {"'accuracy'", "top_k 4"}},
      // --- solvers
      {"an unknown solver field", solver("momentum", "momentun"), Is::parse, {"solver.prototxt:6:1", "did you mean 'momentum'?"}},
      {"an unknown solver type", solver("max_iter", "type: \"SDG\" max_iter"), Is::spec, {"solver.prototxt", "no solver type \"SDG\""}},
      {"an unknown lr_policy", solver("\"fixed\"", "\"fix\""), Is::spec, {"solver.prototxt", "no lr_policy \"fix\"", "multistep"}},
      {"a step policy without stepsize", solver("\"fixed\"", "\"step\""), Is::spec, {"stepsize above 0"}},
      {"a momentum of 1", solver("0.9", "1"), Is::spec, {"momentum must be in [0, 1)"}},
      {"an unknown regularisation", solver("max_iter", "regularization_type: \"L3\" max_iter"), Is::spec, {"L2, L1"}},
      {"an iter_size of 0", solver("max_iter", "iter_size: 0 max_iter"), Is::spec, {"iter_size must be 1 or more"}},
      {"a negative max_iter", solver("max_iter: 40", "max_iter: -1"), Is::spec, {"max_iter"}},
      {"no net", solver("net: \"net.prototxt\"", ""), Is::spec, {"exactly one of net"}},
      {"two nets", solver("net: \"net.prototxt\"", "net: \"net.prototxt\" train_net: \"net.prototxt\""), Is::spec, {"exactly one of net"}},
      {"a net that is not there", solver("net.prototxt", "nett.prototxt"), Is::data, {"solver.prototxt", "'nett.prototxt' is not to be found"}},
      {"a test net without test_iter", solver("test_iter: 5", "test_net: \"net.prototxt\""), Is::spec, {"test_iter"}},
      {"tests without test_interval", solver("test_interval: 20", ""), Is::spec, {"test_interval"}},
      {"HDF5 snapshots", solver("max_iter", "snapshot_format: HDF5 max_iter"), Is::spec, {"use BINARYPROTO"}},
      {"snapshots into a folder that is not there", solver("PREFIX", "/no/such/folder/p"), Is::data, {"/no/such/folder", "make the folder first"}},
      // --- data
      {"a source that is not there", net(images, "other-images"), Is::data, {"'data'", "'other-images' is not to be found", "--data-root"}},
      {"no source", net(images, ""), Is::data, {"'data'", "needs a `source`"}},
      {"a source outside the roots", net(images, "../../../../../../../../../../etc/passwd"), Is::data, {"outside the folders", "--data-root"}},
      {"an absolute source", net(images, "/etc/passwd"), Is::data, {"outside the folders"}},
      {"a link that leaves the roots", [](SmallJob& j) { std::filesystem::remove(j.path(images)), std::filesystem::create_symlink("/etc/passwd", j.path(images)); }, Is::data, {"outside the folders"}},
      {"a batch of 0", net("batch_size: 8", "batch_size: 0"), Is::spec, {"'data'", "batch_size must be above 0"}},
      {"a crop larger than the images", net("scale: 0.00390625", "crop_size: 7"), Is::shape, {"'data'", "crop_size 7 does not fit images of 6 x 6"}},
      {"means for other channels", net("scale: 0.00390625", "mean_value: [1, 2]"), Is::spec, {"'data'", "2 mean_value for 1 channels"}},
      {"a mean file that is not there", net("scale: 0.00390625", "mean_file: \"mean.binaryproto\""), Is::data, {"'data'", "'mean.binaryproto' is not to be found"}},
      {"a mean file outside the roots", net("scale: 0.00390625", "mean_file: \"/etc/passwd\""), Is::data, {"'data'", "outside the folders"}},
      {"a mean file that is none", net("scale: 0.00390625", "mean_file: \"solver.prototxt\""), Is::data, {"'data'", "solver.prototxt", "binaryproto"}},
      {"a mean of another size", [](SmallJob& j) { j.folder.write("m", write_wire(to_blob(MeanImage{{1, 2, 3}, std::vector<float>(6)}))), SmallJob::replace(j.net, "scale: 0.00390625", "mean_file: \"m\""); }, Is::shape, {"'data'", "/m: the mean image is 1 2 3 (6)", "1 6 6"}},
      {"two means", [](SmallJob& j) { j.folder.write("m", write_wire(to_blob(MeanImage{{1, 6, 6}, std::vector<float>(36)}))), SmallJob::replace(j.net, "scale: 0.00390625", "mean_file: \"m\" mean_value: 3"); }, Is::spec, {"'data'", "mean_file and mean_value"}},
      {"colour asked of raw samples", net("scale: 0.00390625", "force_color: true"), Is::spec, {"'data'", "force_color", "encoded"}},
      {"colour and grey", net("scale: 0.00390625", "force_color: true force_gray: true"), Is::spec, {"'data'", "give one"}},
      {"an LMDB source that is damaged", [](SmallJob& j) { j.folder.write("lmdb/data.mdb", "x"), SmallJob::replace(j.net, images, "lmdb"); }, Is::data, {"'data'", "lmdb/data.mdb", "no LMDB database"}},
      {"a LevelDB source", [](SmallJob& j) { j.folder.write("level/CURRENT", "x"), SmallJob::replace(j.net, images, "level"); }, Is::data, {"'data'", "LevelDB is not read", "lmdb"}},
      {"another kind of data layer", net("type: \"Data\"", "type: \"WindowData\""), Is::spec, {"'data'", "WindowData", "ImageData"}},
      {"an image list without a source", net("type: \"Data\"", "type: \"ImageData\""), Is::data, {"'data'", "needs a `source`"}},
      {"images cut off", file(images, idx({90, 6, 6}, tiny_pixels()).substr(0, 1000)), Is::data, {images, "truncated", "3240"}},
      {"images with something behind", file(images, idx({90, 6, 6}, tiny_pixels()) + "x"), Is::data, {images, "too many"}},
      {"an IDX header cut off", file(images, std::string("\0\0\x08\x03\0\0", 6)), Is::data, {images, "header is cut off"}},
      {"an IDX header with hostile extents", file(images, idx({0xffffffffu, 0xffffffffu, 0xffffffffu}, "")), Is::data, {images, "damaged"}},
      {"an IDX file of floats", file(images, std::string("\0\0\x0d\x01\0\0\0\0", 8)), Is::data, {images, "type"}},
      {"no IDX file", file(images, "hello"), Is::data, {images}},
      {"labels missing", [](SmallJob& j) { std::filesystem::remove(j.path(labels)); }, Is::data, {images, "label file is missing", labels}},
      {"fewer labels than images", file(labels, idx({89}, tiny_labels().substr(1))), Is::data, {labels, "89 labels for the 90 images"}},
      {"labels of two axes", file(labels, idx({90, 1}, tiny_labels())), Is::data, {labels, "labels have one"}},
      {"damaged gzip", file(images, "\x1f\x8b\x08\x00 this is no gzip data"), Is::data, {images, "gzip"}},
      {"a label out of range", file(labels, idx({90}, std::string(90, '\x03'))), Is::data, {"layer 'accuracy'", "label 3", "3 classes (0 to 2)", "correct the labels", "sample"}},
      // --- numbers
      {"a loss that is no number", solver("base_lr: 0.05", "base_lr: 1e30"), Is::data, {"iteration", "loss", "lower base_lr"}},
      // clang-format on
  };
  return all;
}

bool has_class(const std::exception& e, Is is) {
  switch (is) {
    case Is::spec:
      return dynamic_cast<const SpecError*>(&e);
    case Is::shape:
      return dynamic_cast<const ShapeError*>(&e);
    case Is::parse:
      return dynamic_cast<const ParseError*>(&e);
    case Is::data:
      return dynamic_cast<const DataError*>(&e);
  }
  return false;
}

void run(const SmallJob& j) {
  Cpu cpu({.threads = 1});
  Job<float, Cpu> job(cpu, read_solver(j.write()), all_layers<float, Cpu>());
  job.trainer().run();
}

void check_says(const std::exception& e, Is is, const std::vector<std::string>& says) {
  INFO("it said: " << e.what());
  CHECK(has_class(e, is));
  for (const std::string& part : says) {
    INFO("wanted: " << part);
    CHECK(std::string(e.what()).find(part) != std::string::npos);
  }
}

}  // namespace

TEST_CASE("the job of the table works when nothing is changed", "[caffe]") {
  const SmallJob j;
  run(j);
  CHECK(names_in_folder(j.folder.path).size() == 6);  // what was there, and one snapshot
}

TEST_CASE("bad input gets one clear exception, and nothing half-written stays", "[caffe]") {
  CHECK(cases().size() >= 60);
  for (const Case& c : cases()) {
    INFO(c.what);
    SmallJob j;
    c.change(j);
    j.write();
    std::vector<std::string> before = names_in_folder(j.folder.path), after;
    bool refused = false;
    try {
      run(j);
    } catch (const std::exception& e) {
      refused = true;
      check_says(e, c.is, c.says);
    }
    CHECK(refused);
    after = names_in_folder(j.folder.path);
    std::sort(before.begin(), before.end()), std::sort(after.begin(), after.end());
    CHECK(before == after);
  }
}

TEST_CASE("bad weights get one clear exception", "[caffe]") {
  const SmallJob j;
  run(j);
  const std::string model = j.path("small_iter_40.caffemodel"), bytes = read_file(model);
  const auto weights = [](const auto& change) {
    return [=](const std::string& b) {
      NetSpec n = parse_wire<NetSpec>(b);
      change(n);
      return write_wire(n);
    };
  };
  const auto conv = [](NetSpec& n) -> LayerSpec& {
    return *std::find_if(n.layers.begin(), n.layers.end(),
                         [](const LayerSpec& l) { return l.name == "conv"; });
  };
  struct WeightCase {
    const char* what;
    std::function<std::string(const std::string&)> change;
    Is is;
    std::vector<std::string> says;
  };
  const WeightCase all[] = {
      {"cut off",
       [](const std::string& b) { return b.substr(0, b.size() / 2); },
       Is::parse,
       {"byte ", "truncated"}},
      {"empty", [](const std::string&) { return ""; }, Is::data, {"empty"}},
      {"noise", [](const std::string&) { return std::string(300, '\xff'); }, Is::parse, {"byte "}},
      {"HDF5",
       [](const std::string&) { return std::string("\x89HDF\r\n\x1a\n"); },
       Is::data,
       {"HDF5", "BINARYPROTO"}},
      {"a blob missing",
       weights([&](NetSpec& n) { conv(n).blobs.pop_back(); }),
       Is::shape,
       {"'conv'", "1 blobs in the file, but 2"}},
      {"another shape",
       weights([&](NetSpec& n) {
         conv(n).blobs[0].shape->dim = {4, 1, 9, 1};
       }),
       Is::shape,
       {"'conv'", "4 1 9 1", "rename"}},
      {"numbers missing",
       weights([&](NetSpec& n) { conv(n).blobs[0].data.pop_back(); }),
       Is::data,
       {"'conv'", "35 numbers where its shape says 36"}},
      {"weights of another net",
       weights([](NetSpec& n) {
         for (LayerSpec& l : n.layers) l.name += "x";
       }),
       Is::data,
       {"no layer of the net 'small'", "convx"}},
  };
  Cpu cpu({.threads = 1});
  Job<float, Cpu> job(cpu, read_solver(j.path("solver.prototxt")), all_layers<float, Cpu>());
  for (const WeightCase& c : all) {
    INFO(c.what);
    const std::string path = j.folder.write("bad.caffemodel", c.change(bytes));
    const std::vector<float> before(job.net().parameters()->values().begin(),
                                    job.net().parameters()->values().end());
    bool refused = false;
    try {
      load_weights(cpu, job.net(), path);
    } catch (const Error& e) {
      refused = true;
      check_says(e, c.is, c.says);
      check_says(e, c.is, {"bad.caffemodel"});
    }
    CHECK(refused);
    CHECK(std::equal(before.begin(), before.end(), job.net().parameters()->values().begin()));
  }
}
