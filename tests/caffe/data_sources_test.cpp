// SPDX-License-Identifier: Apache-2.0
// One small job, its images as IDX, as LMDB and as files of a list: the same training, to the bit.
#include "catch.hpp"
#include "crema/data/lmdb_writer.hpp"
#include "small_job.hpp"

using namespace crema_test;

namespace {

std::shared_ptr<const Dataset> idx_images(const SmallJob& j) {
  return read_idx(j.path("tiny-images-idx3-ubyte"));
}

std::string pgm(const Sample& s) { return cat("P5 6 6 255\n", std::string(s.bytes.begin(), s.bytes.end())); }

/// Writes each image as a file, and the list.
void write_list(const SmallJob& j) {
  const auto data = idx_images(j);
  std::string list;
  Sample s;
  for (std::int64_t i = 0; i < data->size(); ++i) {
    data->read(i, s);
    j.folder.write(cat("images/", i, " .pgm"), pgm(s));
    list += cat(i, " .pgm ", s.label, "\n");
  }
  j.folder.write("list.txt", list);
}

std::vector<float> trained(const SmallJob& j) {
  Cpu cpu({.threads = 1});
  Job<float, Cpu> job(cpu, read_solver(j.write()), all_layers<float, Cpu>());
  job.trainer().run();
  const auto parameters = job.net().parameters()->values();
  return {parameters.begin(), parameters.end()};
}

/// Both data layers at once.
void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}
constexpr const char* idx_source = "source: \"tiny-images-idx3-ubyte\"";

}  // namespace

TEST_CASE("an image list trains as the same images do in IDX", "[caffe]") {
  SmallJob j;
  const std::vector<float> want = trained(j);
  write_list(j);
  replace_all(j.net, "type: \"Data\"", "type: \"ImageData\"");
  replace_all(
      j.net, cat("data_param { ", idx_source),
      "image_data_param { source: \"list.txt\" root_folder: \"images/\" is_color: false shuffle: true");
  CHECK(trained(j) == want);
  SmallJob::replace(j.net, "is_color: false", "new_height: 6");
  CHECK_THROWS_WITH(trained(j), Catch::Contains("give both") && Catch::Contains("net.prototxt:"));
  SmallJob::replace(j.net, "new_height: 6", "new_height: 6 new_width: 7");
  CHECK_THROWS_WITH(trained(j), Catch::Contains("shape"));  // the test net's images are 1 x 6 x 6
}

TEST_CASE("a mean file trains as its mean value does", "[caffe]") {
  SmallJob j;
  replace_all(j.net, "scale: 0.00390625 }", "scale: 0.0078125 mean_value: 100 crop_size: 5 }");
  const std::vector<float> want = trained(j);
  j.folder.write("mean.binaryproto", write_wire(to_blob(MeanImage{{1, 6, 6}, std::vector<float>(36, 100)})));
  replace_all(j.net, "mean_value: 100", "mean_file: \"mean.binaryproto\"");
  CHECK(trained(j) == want);
}

#if defined(CREMA_HAS_LMDB)
TEST_CASE("an LMDB of raw and of encoded Datum trains as the same images do in IDX", "[caffe]") {
  SmallJob j;
  const std::vector<float> want = trained(j);
  const auto data = idx_images(j);
  LmdbWriter raw(j.path("raw_lmdb")), encoded(j.path("encoded_lmdb"));
  Sample s;
  for (std::int64_t i = 0; i < data->size(); ++i) {
    data->read(i, s);
    const int label = static_cast<int>(s.label);
    raw.add(datum_of({data->sample_shape(), {s.bytes.begin(), s.bytes.end()}}, label));
    DatumSpec d;
    d.data = pgm(s), d.label = label, d.encoded = true;
    encoded.add(d, "image.pgm");
  }
  raw.finish(), encoded.finish();
  replace_all(j.net, idx_source, "source: \"raw_lmdb\" backend: LMDB");
  CHECK(trained(j) == want);
  replace_all(j.net, "raw_lmdb", "encoded_lmdb");
  CHECK(trained(j) == want);
  replace_all(j.net, "scale: 0.00390625", "scale: 0.00390625 force_color: true");
  CHECK(trained(j).size() > want.size());  // three channels
  replace_all(j.net, "force_color", "force_gray");
  CHECK(trained(j) == want);
}
#endif
