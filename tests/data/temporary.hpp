// SPDX-License-Identifier: Apache-2.0
// A folder of its own for a test, removed with it, and files to put there.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

struct TemporaryFolder {
  std::string path;
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "crema-test-XXXXXX").string();
    if (!mkdtemp(name.data())) std::abort();
    path = name;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
  std::string write(const std::string& name, const std::string& bytes) const {
    const std::string file = path + "/" + name;
    std::filesystem::create_directories(std::filesystem::path(file).parent_path());
    std::ofstream(file, std::ios::binary) << bytes;
    return file;
  }
};

/// An IDX file of unsigned bytes.
inline std::string idx(const std::vector<std::uint32_t>& extents, const std::string& values) {
  std::string s{'\0', '\0', '\x08', static_cast<char>(extents.size())};
  for (const std::uint32_t e : extents)
    for (int shift = 24; shift >= 0; shift -= 8) s += static_cast<char>(e >> shift);
  return s + values;
}
