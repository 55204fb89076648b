// SPDX-License-Identifier: Apache-2.0
// Caffe's files, read: prototxt of nets and solvers, weights.
//
//   NetSpec net = read_net("lenet_train_test.prototxt");
//   SolverSpec solver = read_solver("lenet_solver.prototxt");
//   CopyReport report = load_weights(cpu, net, "lenet.caffemodel");      // by layer name
//
// Files are hostile until checked: every reader takes Limits. Errors name file, line and column, or byte.
#pragma once

#include "crema/data/file.hpp"
#include "crema/spec/text_format.hpp"
#include "crema/spec/wire_format.hpp"
#include "crema/train/weights.hpp"

namespace crema::inline CREMA_ABI {

/// A net's prototxt; legacy `input` fields become an Input layer.
inline NetSpec read_net(const std::string& path, const TextOptions& options = {}) {
  NetSpec net = parse_net(read_file(path, options.limits), path, options);
  try {
    net = with_input_layers(std::move(net));
  } catch (Error& e) {
    e.add_context(path);
    throw;
  }
  return net;
}

/// A solver's prototxt. The legacy solver_type becomes `type`; a missing snapshot_prefix becomes the file's
/// own path without its extension, as in Caffe.
inline SolverSpec read_solver(const std::string& path, const TextOptions& options = {}) {
  static constexpr std::string_view types[] = {"SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"};
  SolverSpec s = parse_solver(read_file(path, options.limits), path, options);
  if (s.solver_type) s.type = types[static_cast<std::size_t>(*s.solver_type)], s.solver_type.reset();
  if (s.snapshot_prefix.empty()) {
    const std::size_t dot = path.rfind('.'), slash = path.rfind('/');
    s.snapshot_prefix =
        dot != std::string::npos && (slash == std::string::npos || dot > slash) ? path.substr(0, dot) : path;
  }
  return s;
}

/// The layers and blobs of a .caffemodel.
inline NetSpec read_weights(const std::string& path, const Limits& limits = {}) {
  const std::string bytes = read_file(path, limits);
  if (bytes.starts_with("\x89HDF\r\n"))
    throw DataError(
        cat(path, ": HDF5 weights are not read: save them as .caffemodel (snapshot_format: BINARYPROTO)"));
  if (bytes.empty()) throw DataError(cat(path, ": an empty file, no weights"));
  return parse_wire<NetSpec>(bytes, path, limits);
}

/// Copies weights into the net by layer name, as copy_weights does; errors name the file. Throws DataError
/// when not one layer fits: it is the file of another net.
template <class T, class B>
CopyReport load_weights(B& b, Net<T, B>& net, const std::string& path, const Limits& limits = {}) {
  const NetSpec weights = read_weights(path, limits);
  try {
    CopyReport report = copy_weights(b, net, weights);
    if (report.copied.empty() && !report.missing.empty())
      throw DataError(
          cat("no layer of the net '", net.spec().name, "' has weights in the file (", report.text(), ")"));
    return report;
  } catch (Error& e) {
    e.add_context(path);
    throw;
  }
}

}  // namespace crema::inline CREMA_ABI
