// SPDX-License-Identifier: Apache-2.0
// The fixed file beside which bench/compile prints its seconds: it never changes, so that it measures the
// machine and the compiler.
#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

std::string most_frequent(const std::vector<std::string>& words) {
  std::map<std::string, int> count;
  for (const std::string& w : words) ++count[w];
  std::vector<std::pair<std::string, int>> sorted(count.begin(), count.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](auto& a, auto& b) { return a.second > b.second; });
  const auto shared = std::make_shared<std::string>(sorted.empty() ? "" : sorted[0].first);
  return *shared;
}
