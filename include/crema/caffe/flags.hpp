// SPDX-License-Identifier: Apache-2.0
// Caffe's command-line flags, as gflags takes them: with one dash or two.
//
//   with_two_dashes({"train", "-solver=s.prototxt", "-gpu", "0"}, {"solver", "gpu"})
//       == {"train", "--solver=s.prototxt", "--gpu", "0"}
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "crema/core/config.hpp"

namespace crema::inline CREMA_ABI {

/// Turns "-name" and "-name=value" into "--name" and "--name=value" where `name` is one of `known`. All else
/// stays as it is, and so does everything behind "--".
inline std::vector<std::string> with_two_dashes(std::vector<std::string> arguments,
                                                const std::vector<std::string>& known) {
  for (std::string& a : arguments) {
    if (a == "--") break;
    if (a.size() < 2 || a[0] != '-' || a[1] == '-') continue;
    const std::string_view name =
        std::string_view(a).substr(1, a.find('=') == std::string::npos ? std::string::npos : a.find('=') - 1);
    if (std::find(known.begin(), known.end(), name) != known.end()) a.insert(0, "-");
  }
  return arguments;
}

}  // namespace crema::inline CREMA_ABI
