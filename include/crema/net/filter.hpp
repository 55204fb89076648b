// SPDX-License-Identifier: Apache-2.0
// Filter: which layers of a NetSpec belong to a phase, level
// and set of stages (Caffe's include and exclude rules).
//
// A rule holds when all of it holds: phase equal, min_level <= level <= max_level, every `stage` present, no
// `not_stage` present. A layer with include rules is in when one holds, one with exclude rules is out when
// one holds.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "crema/spec/net_spec.hpp"

namespace crema::inline CREMA_ABI {

struct NetSelection {
  Phase phase = Phase::train;
  int level = 0;
  std::vector<std::string> stages = {};
};

CREMA_INLINE bool holds(const NetStateRule& rule, const NetSelection& at);
/// The layers that are in, each with its phase set. Throws SpecError when a layer has both kinds of rules.
CREMA_INLINE NetSpec filter(const NetSpec& net, const NetSelection& at);

#if CREMA_BODIES
CREMA_INLINE bool holds(const NetStateRule& rule, const NetSelection& at) {
  const auto has = [&](const std::string& s) {
    return std::find(at.stages.begin(), at.stages.end(), s) != at.stages.end();
  };
  return (!rule.phase || *rule.phase == at.phase) && (!rule.min_level || at.level >= *rule.min_level) &&
         (!rule.max_level || at.level <= *rule.max_level) &&
         std::all_of(rule.stage.begin(), rule.stage.end(), has) &&
         std::none_of(rule.not_stage.begin(), rule.not_stage.end(), has);
}
CREMA_INLINE NetSpec filter(const NetSpec& net, const NetSelection& at) {
  NetSpec out = net;
  out.layers.clear();
  for (const LayerSpec& layer : net.layers) {
    if (!layer.include.empty() && !layer.exclude.empty())
      throw SpecError(cat("layer '", layer.name, "' has include and exclude rules: keep one kind"));
    const auto one = [&](const NetStateRule& rule) { return holds(rule, at); };
    const bool in = layer.include.empty() ? std::none_of(layer.exclude.begin(), layer.exclude.end(), one)
                                          : std::any_of(layer.include.begin(), layer.include.end(), one);
    if (!in) continue;
    out.layers.push_back(layer);
    if (!layer.phase) out.layers.back().phase = at.phase;
  }
  return out;
}
#endif

}  // namespace crema
