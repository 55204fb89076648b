// SPDX-License-Identifier: Apache-2.0
// Registry: which layer types a net may use. A value, filled by the host; nothing registers itself.
//
//   Registry<float, Cpu> r;
//   r.add<Convolution>().add<MyLayer>();          // class templates over <T, B>
//   Net<float, Cpu> net(cpu, spec, r);            // or all_layers<float, Cpu>() from layers/all.hpp
//
// A compile pays about 50 ms for each layer added.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "crema/net/layer.hpp"

namespace crema::inline CREMA_ABI {

template <class T, class B>
class Registry {
 public:
  /// Adds a layer under its type string, replacing an earlier one of that name.
  template <template <class, class> class L>
  Registry& add() {
    return add(layer_kind<T, B, L<T, B>>());
  }
  Registry& add(const LayerKind<T, B>& kind);

  /// Throws SpecError that lists what there is.
  const LayerKind<T, B>& find(const LayerSpec& spec) const;
  const std::vector<LayerKind<T, B>>& kinds() const { return kinds_; }

 private:
  std::vector<LayerKind<T, B>> kinds_;
};

template <class T, class B>
Registry<T, B>& Registry<T, B>::add(const LayerKind<T, B>& kind) {
  for (auto& k : kinds_)
    if (k.type == kind.type) return k = kind, *this;
  kinds_.push_back(kind);
  return *this;
}

template <class T, class B>
const LayerKind<T, B>& Registry<T, B>::find(const LayerSpec& spec) const {
  for (const auto& k : kinds_)
    if (k.type == spec.type) return k;
  std::string known;
  for (const auto& k : kinds_) known += cat(known.empty() ? "" : ", ", k.type);
  throw SpecError(
      cat("no layer type '", spec.type, "' on backend ", B::name, "; this registry has: ", known));
}

#if defined(CREMA_COMPILED)  // crema::compiled has it
extern template class Registry<float, Cpu>;
extern template class Registry<double, Cpu>;
#endif

}  // namespace crema
