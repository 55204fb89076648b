// SPDX-License-Identifier: Apache-2.0
// all_layers: a registry of every layer that a backend has. Header-only, include it in one translation unit:
// it instantiates them all. With crema::compiled it costs its includes.
//
//   Net<float, Cpu> net(cpu, spec, all_layers<float, Cpu>());
#pragma once

#include "crema/layers/accuracy.hpp"
#include "crema/layers/convolution.hpp"
#include "crema/layers/dropout.hpp"
#include "crema/layers/flatten.hpp"
#include "crema/layers/inner_product.hpp"
#include "crema/layers/input.hpp"
#include "crema/layers/lrn.hpp"
#include "crema/layers/pooling.hpp"
#include "crema/layers/relu.hpp"
#include "crema/layers/softmax.hpp"
#include "crema/layers/softmax_with_loss.hpp"
#include "crema/layers/split.hpp"
#include "crema/net/registry.hpp"

namespace crema::inline CREMA_ABI {

template <class T, class B>
Registry<T, B> all_layers() {
  Registry<T, B> registry;
#define CREMA_LAYER(L, header, cuda) \
  if constexpr (B::name == "cpu" || cuda) registry.template add<L>();
#include "crema/layers/layers.def"
#undef CREMA_LAYER
  return registry;
}

#if defined(CREMA_COMPILED)  // crema::compiled has them
extern template Registry<float, Cpu> all_layers<float, Cpu>();
extern template Registry<double, Cpu> all_layers<double, Cpu>();
#endif

}  // namespace crema
