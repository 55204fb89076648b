// SPDX-License-Identifier: Apache-2.0
// ImageListDataset: image files named in a list, decoded when they are read, as Caffe's ImageData layer.
//
//   auto train = read_image_list("flickr/train.txt", {.root_folder = "images", .image = {.color = true, .height = 256,
//                                .width = 256}}, {"flickr"});
//
// A line is a path, a space, a label: "cats/my cat.jpg 3" (the last space counts). Blank lines are left out.
// Every image must come out with the shape of the first: resize them, or bring images of one size.
#pragma once

#include <memory>

#include "crema/data/dataset.hpp"
#include "crema/data/file.hpp"
#include "crema/data/image.hpp"
#include "crema/data/paths.hpp"

namespace crema::inline CREMA_ABI {

struct ImageListOptions {
  std::string root_folder = {};  // in front of each path
  ImageOptions image = {.color = true};
};

class ImageListDataset final : public Dataset {
 public:
  struct Entry {
    std::string path;
    float label;
  };

  /// Decodes the first image for its shape. `name` is for messages, the list's path; images lie under `roots`
  /// or are refused. Throws DataError for an empty list, and as read().
  ImageListDataset(std::vector<Entry> entries, std::string name, std::vector<std::string> roots,
                   const ImageListOptions& o = {}, const Limits& limits = {})
      : entries_(std::move(entries)),
        name_(std::move(name)),
        roots_(std::move(roots)),
        options_(o),
        limits_(limits) {
    if (!options_.root_folder.empty() && !options_.root_folder.ends_with('/')) options_.root_folder += '/';
    if (entries_.empty()) throw DataError(cat(name_, ": a list without images"));
    shape_ = decode(0).shape;
  }

  std::int64_t size() const override { return static_cast<std::int64_t>(entries_.size()); }
  const Shape& sample_shape() const override { return shape_; }
  const std::string& name() const override { return name_; }
  /// An image as the list names it, and its label.
  const Entry& entry(std::int64_t index) const {
    if (index < 0 || index >= size())
      throw DataError(cat(name_, " has ", size(), " samples; there is no sample ", index));
    return entries_[static_cast<std::size_t>(index)];
  }
  void read(std::int64_t index, Sample& out) const override {
    const Entry& e = entry(index);
    Image image = decode(index);
    if (image.shape != shape_)
      throw DataError(cat(e.path, " (in ", name_, "): has shape ", image.shape, "where the first image has ",
                          shape_, "; all samples of a net have one: set new_height and new_width"));
    out.own = std::move(image.pixels);
    out.bytes = out.own, out.values = {}, out.label = e.label;
  }

 private:
  Image decode(std::int64_t index) const {
    const Entry& e = entries_[static_cast<std::size_t>(index)];
    try {
      const std::string path = resolve_under(options_.root_folder + e.path, roots_),
                        bytes = read_file(path, limits_);
      return decode_image({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, path,
                          options_.image, limits_);
    } catch (Error& error) {
      error.add_context(name_);
      throw;
    }
  }

  std::vector<Entry> entries_;
  std::string name_;
  std::vector<std::string> roots_;
  ImageListOptions options_;
  Limits limits_;
  Shape shape_;
};

/// The lines of a list. Throws DataError with path and line for one that is no path and number.
inline std::vector<ImageListDataset::Entry> parse_image_list(std::string_view text, const std::string& path) {
  std::vector<ImageListDataset::Entry> entries;
  for (int line = 1; !text.empty(); ++line) {
    std::string_view one = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(one.size() + 1, text.size()));
    while (!one.empty() && (one.back() == '\r' || one.back() == ' ' || one.back() == '\t'))
      one.remove_suffix(1);
    if (one.empty()) continue;
    const std::size_t space = one.rfind(' ');
    float label = 0;
    if (space == std::string_view::npos || space == 0 || !parse_number(one.substr(space + 1), label))
      throw DataError(
          cat(path, ":", line, ": a line is a path, a space and a number, not '", one.substr(0, 100), "'"));
    entries.push_back({std::string(one.substr(0, space)), label});
  }
  return entries;
}

/// The images of a list file. The list and its images lie under `roots`, folders that may be read; relative
/// paths are looked for under each in turn, then beside the list. Throws DataError.
inline std::shared_ptr<ImageListDataset> read_image_list(const std::string& list, const ImageListOptions& o,
                                                         const std::vector<std::string>& roots,
                                                         const Limits& limits = {}) {
  if (list.empty()) throw DataError("an ImageData layer needs a `source`: a list of images and labels");
  const std::string path = resolve_under(list, roots);
  std::vector<std::string> under = roots;
  under.push_back(path.substr(0, path.rfind('/')));
  return std::make_shared<ImageListDataset>(parse_image_list(read_file(path, limits), path), path,
                                            std::move(under), o, limits);
}

}  // namespace crema::inline CREMA_ABI
