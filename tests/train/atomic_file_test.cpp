// SPDX-License-Identifier: Apache-2.0
#include "crema/train/atomic_file.hpp"

#include <signal.h>
#include <sys/resource.h>

#include "../data/temporary.hpp"
#include "catch.hpp"
#include "crema/data/file.hpp"

using namespace crema;

namespace {
std::string failure(const std::string& path, const std::string& bytes) {
  try {
    write_file(path, bytes);
    return "";
  } catch (const DataError& e) {
    return e.what();
  }
}
}  // namespace

TEST_CASE("a file is the old one or the new one", "[train]") {
  const TemporaryFolder folder;
  const std::string path = folder.path + "/a";
  write_file(path, "old");
  {
    PendingFile pending(path, "new");
    CHECK(read_file(path) == "old");
  }  // not committed: nothing happened
  CHECK(read_file(path) == "old");
  CHECK(names_in_folder(folder.path) == std::vector<std::string>{"a"});
  PendingFile pending(path, "new");
  pending.commit();
  CHECK(read_file(path) == "new");
  CHECK(names_in_folder(folder.path) == std::vector<std::string>{"a"});
}

TEST_CASE("errors name the path and what to do", "[train]") {
  const TemporaryFolder folder;
  const std::string missing = failure(folder.path + "/no/such/folder/a", "x");
  CHECK(missing.find(folder.path + "/no/such/folder/a") != std::string::npos);
  CHECK(missing.find("make the folder first") != std::string::npos);
  CHECK(!failure(folder.path, "x").empty());  // a folder in its place
}

TEST_CASE("a full disk leaves the old file and nothing else", "[train]") {
  const TemporaryFolder folder;
  const std::string path = folder.path + "/a";
  write_file(path, "old");
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{1 << 16, before.rlim_max};
  const auto old_handler = signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string said = failure(path, std::string(1 << 20, 'x'));
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, old_handler);
  CHECK(said.find("make room on that disk") != std::string::npos);
  CHECK(read_file(path) == "old");
  CHECK(names_in_folder(folder.path) == std::vector<std::string>{"a"});
}

TEST_CASE("parts of paths", "[train]") {
  CHECK(folder_of("a/b/c") == "a/b");
  CHECK(folder_of("/c") == "/");
  CHECK(folder_of("c") == ".");
  CHECK(name_of_file("a/b/c") == "c");
  CHECK(name_of_file("c") == "c");
}
