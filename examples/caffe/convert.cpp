// SPDX-License-Identifier: Apache-2.0
// crema convert, crema mean: Caffe's convert_imageset and compute_image_mean.
#include <cmath>

#include "crema/data/lmdb_writer.hpp"
#include "crema/data/mean_image.hpp"
#include "crema/train/atomic_file.hpp"
#include "program.hpp"

using namespace crema;

namespace {

/// Paths on the command line are the user's own: any folder may be read.
std::string shell_path(const std::string& path) { return path.starts_with('/') ? path : "./" + path; }

}  // namespace

int convert(const Flags& f) {
#if defined(CREMA_HAS_LMDB)
  Log log(to_stderr);
  ImageListOptions o{f.root, {.color = !f.gray, .height = f.resize_height, .width = f.resize_width}};
  const auto images = read_image_list(shell_path(f.list), o, {".", "/"});
  std::vector<std::int64_t> order = sample_order(images->size(), f.seed.value_or(0), 0, 0, 1, f.shuffle);
  LmdbWriter db(f.output);
  Sample s;
  for (const std::int64_t i : order) {
    const auto& entry = images->entry(i);
    images->read(i, s);
    if (s.label != std::trunc(s.label) || std::abs(s.label) > 1e9f)
      throw DataError(
          cat(f.list, ": ", entry.path, ": label ", s.label, " is no whole number, as a Datum's are"));
    db.add(datum_of({images->sample_shape(), {s.bytes.begin(), s.bytes.end()}}, static_cast<int>(s.label)),
           entry.path);
    if (db.size() % 1000 == 0) log.line("convert_imageset.cpp:137", cat("Processed ", db.size(), " files."));
  }
  db.finish();
  log.line("convert_imageset.cpp:145", cat("Processed ", db.size(), " files."));
  return 0;
#else
  throw SpecError(cat("cannot write ", f.output, ": this program was built without the component lmdb"));
#endif
}

int mean(const Flags& f) {
  Log log(to_stderr);
  const auto data = open_dataset(shell_path(f.list), {".", "/"});
  const MeanImage m = compute_mean_image(*data);
  if (!f.output.empty()) {
    log.line("compute_image_mean.cpp:103", cat("Write to ", f.output));
    write_file(f.output, write_wire(to_blob(m)));
  }
  const std::int64_t channels = m.shape[0], pixels = m.shape.count(1);
  log.line("compute_image_mean.cpp:108", cat("Number of channels: ", channels));
  for (std::int64_t c = 0; c < channels; ++c) {
    double sum = 0;
    for (std::int64_t i = 0; i < pixels; ++i) sum += m.values[static_cast<std::size_t>(c * pixels + i)];
    log.line("compute_image_mean.cpp:114",
             cat("mean_value channel [", c, "]: ", six_digits(sum / static_cast<double>(pixels))));
  }
  return 0;
}
