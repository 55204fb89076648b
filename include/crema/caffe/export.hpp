// SPDX-License-Identifier: Apache-2.0
// Caffe's files, written: weights as .caffemodel, nets as prototxt.
//
//   save_weights(cpu, net, "lenet.caffemodel");
//   save_net(net.spec(), "lenet.prototxt");
//
// Written whole or not at all. Throws DataError with the path when the disk refuses.
#pragma once

#include "crema/spec/text_printer.hpp"
#include "crema/spec/wire_format.hpp"
#include "crema/train/atomic_file.hpp"
#include "crema/train/weights.hpp"

namespace crema::inline CREMA_ABI {

template <class T, class B>
void save_weights(B& b, const Net<T, B>& net, const std::string& path) {
  write_file(path, write_wire(with_weights(b, net)));
}

inline void save_net(const NetSpec& net, const std::string& path) { write_file(path, print(net)); }

}  // namespace crema::inline CREMA_ABI
