// SPDX-License-Identifier: Apache-2.0
// SolverSpec, SolverStateSpec, DatumSpec: Caffe's SolverParameter, SolverState and Datum as values.
#pragma once

#include "crema/spec/net_spec.hpp"

namespace crema::inline CREMA_ABI {

enum class SolverMode : std::uint8_t { cpu, gpu };
enum class SnapshotFormat : std::uint8_t { hdf5, binaryproto };
enum class SolverType : std::uint8_t {
  sgd,
  nesterov,
  adagrad,
  rmsprop,
  adadelta,
  adam
};  // legacy: use `type`

constexpr std::string_view enum_names(SolverMode) { return "CPU=0,GPU=1"; }
constexpr std::string_view enum_names(SnapshotFormat) { return "HDF5=0,BINARYPROTO=1"; }
constexpr std::string_view enum_names(SolverType) {
  return "SGD=0,NESTEROV=1,ADAGRAD=2,RMSPROP=3,ADADELTA=4,ADAM=5";
}

struct SolverSpec {
  std::optional<std::string> net = {},
                             train_net = {};  // exactly one of net, net_param, train_net, train_net_param
  std::optional<NetSpec> net_param = {}, train_net_param = {};
  std::vector<std::string> test_net = {};
  std::vector<NetSpec> test_net_param = {};
  std::optional<NetState> train_state = {};
  std::vector<NetState> test_state = {};
  std::vector<int> test_iter = {};
  int test_interval = 0;
  bool test_compute_loss = false, test_initialization = true;
  float base_lr = 0;
  int display = 0, average_loss = 1, max_iter = 0, iter_size = 1;
  std::string lr_policy = {};
  float gamma = 0, power = 0;
  int stepsize = 0;
  std::vector<int> stepvalue = {};
  float momentum = 0, weight_decay = 0;
  std::string regularization_type = "L2";
  float clip_gradients = -1;
  int snapshot = 0;
  std::string snapshot_prefix = {};
  bool snapshot_diff = false, snapshot_after_train = true;
  SnapshotFormat snapshot_format = SnapshotFormat::binaryproto;
  SolverMode solver_mode = SolverMode::gpu;
  int device_id = 0;
  std::int64_t random_seed = -1;
  std::string type = "SGD";
  float delta = 1e-8f, momentum2 = 0.999f, rms_decay = 0.99f;
  bool debug_info = false, layer_wise_reduce = true;
  std::optional<SolverType> solver_type = {};
  std::vector<std::string> weights = {};
  Message other = {};     // what no schema knows
  std::string file = {};  // where it was read from; not compared

  friend bool operator==(const SolverSpec& a, const SolverSpec& b);
};

template <>
CREMA_INLINE const Schema& schema<SolverSpec>();
#if CREMA_BODIES
template <>
CREMA_INLINE const Schema& schema<SolverSpec>() {
  using M = SolverSpec;
  static const Schema s{"SolverParameter",
                        {field(1, "train_net", &M::train_net),
                         field(2, "test_net", &M::test_net),
                         field(3, "test_iter", &M::test_iter),
                         field(4, "test_interval", &M::test_interval),
                         field(5, "base_lr", &M::base_lr),
                         field(6, "display", &M::display),
                         field(7, "max_iter", &M::max_iter),
                         field(8, "lr_policy", &M::lr_policy),
                         field(9, "gamma", &M::gamma),
                         field(10, "power", &M::power),
                         field(11, "momentum", &M::momentum),
                         field(12, "weight_decay", &M::weight_decay),
                         field(13, "stepsize", &M::stepsize),
                         field(14, "snapshot", &M::snapshot),
                         field(15, "snapshot_prefix", &M::snapshot_prefix),
                         field(16, "snapshot_diff", &M::snapshot_diff),
                         field(17, "solver_mode", &M::solver_mode),
                         field(18, "device_id", &M::device_id),
                         field(19, "test_compute_loss", &M::test_compute_loss),
                         field(20, "random_seed", &M::random_seed),
                         field(21, "train_net_param", &M::train_net_param),
                         field(22, "test_net_param", &M::test_net_param),
                         field(23, "debug_info", &M::debug_info),
                         field(24, "net", &M::net),
                         field(25, "net_param", &M::net_param),
                         field(26, "train_state", &M::train_state),
                         field(27, "test_state", &M::test_state),
                         field(28, "snapshot_after_train", &M::snapshot_after_train),
                         field(29, "regularization_type", &M::regularization_type),
                         field(30, "solver_type", &M::solver_type),
                         field(31, "delta", &M::delta),
                         field(32, "test_initialization", &M::test_initialization),
                         field(33, "average_loss", &M::average_loss),
                         field(34, "stepvalue", &M::stepvalue),
                         field(35, "clip_gradients", &M::clip_gradients),
                         field(36, "iter_size", &M::iter_size),
                         field(37, "snapshot_format", &M::snapshot_format),
                         field(38, "rms_decay", &M::rms_decay),
                         field(39, "momentum2", &M::momentum2),
                         field(40, "type", &M::type),
                         field(41, "layer_wise_reduce", &M::layer_wise_reduce),
                         field(42, "weights", &M::weights)}};
  return s;
}
#endif

/// A saved solver. Fields from 20000 up are crema's own (train/snapshot.hpp); Caffe skips them.
struct SolverStateSpec {
  int iter = 0;
  std::string learned_net = {};
  std::vector<BlobSpec> history = {};
  int current_step = 0;
  Message other = {};
  friend bool operator==(const SolverStateSpec&, const SolverStateSpec&) = default;
};
template <>
CREMA_INLINE const Schema& schema<SolverStateSpec>();
#if CREMA_BODIES
template <>
CREMA_INLINE const Schema& schema<SolverStateSpec>() {
  using M = SolverStateSpec;
  static const Schema s{"SolverState",
                        {field(1, "iter", &M::iter), field(2, "learned_net", &M::learned_net),
                         field(3, "history", &M::history), field(4, "current_step", &M::current_step)}};
  return s;
}
#endif

/// One sample of a Caffe database: C,H,W bytes, or an encoded image.
struct DatumSpec {
  int channels = 0, height = 0, width = 0;
  std::string data = {};
  int label = 0;
  std::vector<float> float_data = {};
  bool encoded = false;
  Message other = {};
  friend bool operator==(const DatumSpec&, const DatumSpec&) = default;
};
template <>
CREMA_INLINE const Schema& schema<DatumSpec>();
#if CREMA_BODIES
template <>
CREMA_INLINE const Schema& schema<DatumSpec>() {
  using M = DatumSpec;
  static const Schema s = [] {
    Schema t{"Datum",
             {field(1, "channels", &M::channels), field(2, "height", &M::height),
              field(3, "width", &M::width), field(4, "data", &M::data), field(5, "label", &M::label),
              field(6, "float_data", &M::float_data), field(7, "encoded", &M::encoded)}};
    t.fields[3].kind = Kind::bytes;
    return t;
  }();
  return s;
}
#endif

inline bool operator==(const SolverSpec& a, const SolverSpec& b) { return to_message(a) == to_message(b); }

}  // namespace crema::inline CREMA_ABI
