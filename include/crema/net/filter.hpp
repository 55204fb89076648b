// SPDX-License-Identifier: Apache-2.0
// Filter: which layers of a NetSpec belong to a phase, level
// and set of stages (Caffe's include and exclude rules).
//
// A rule holds when all of it holds: phase equal, min_level <= level <= max_level, every `stage` present, no
// `not_stage` present. A layer with include rules is in when one holds, one with exclude rules is out when
// one holds.
#pragma once

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

namespace detail {

inline bool contains(const std::vector<std::string>& names, const std::string& name) {
  for (const std::string& n : names)
    if (n == name) return true;
  return false;
}

}  // namespace detail

#if CREMA_BODIES
CREMA_INLINE bool holds(const NetStateRule& rule, const NetSelection& at) {
  for (const std::string& stage : rule.stage)
    if (!detail::contains(at.stages, stage)) return false;
  for (const std::string& stage : rule.not_stage)
    if (detail::contains(at.stages, stage)) return false;
  return (!rule.phase || *rule.phase == at.phase) && (!rule.min_level || at.level >= *rule.min_level) &&
         (!rule.max_level || at.level <= *rule.max_level);
}
CREMA_INLINE NetSpec filter(const NetSpec& net, const NetSelection& at) {
  NetSpec out = net;
  out.layers.clear();
  for (const LayerSpec& layer : net.layers) {
    if (!layer.include.empty() && !layer.exclude.empty())
      throw SpecError(cat("layer '", layer.name, "' has include and exclude rules: keep one kind"));
    bool in = layer.include.empty();
    for (const NetStateRule& rule : layer.include) in = in || holds(rule, at);
    for (const NetStateRule& rule : layer.exclude) in = in && !holds(rule, at);
    if (!in) continue;
    out.layers.push_back(layer);
    if (!layer.phase) out.layers.back().phase = at.phase;
  }
  return out;
}
#endif

}  // namespace crema
