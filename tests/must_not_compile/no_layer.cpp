// SPDX-License-Identifier: Apache-2.0
// What is not a layer cannot be registered.
// expect: type
#include "crema/net/registry.hpp"
struct Abacus {};
template <class T, class B>
struct NotALayer {};
void f(crema::Registry<float, Abacus>& r) { r.add<NotALayer>(); }
