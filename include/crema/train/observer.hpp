// SPDX-License-Identifier: Apache-2.0
// Observer: who is told what happens in a training job: logs, progress bars, reports.
//
//   struct Losses final : Observer { void on_step(const StepInfo& s) override { losses.push_back(s.loss); } };
//
// Calls come from the thread that trains, in the order of events. What they are given lives during the call.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "crema/net/net_plan.hpp"
#include "crema/spec/solver_spec.hpp"

namespace crema::inline CREMA_ABI {

/// Where an observer's text goes: the host decides, the library prints nothing.
using TextSink = std::function<void(std::string_view)>;

/// A loss or metric of the net.
struct OutputValue {
  std::string name;
  double value = 0;
  double loss_weight = 0;  // 0: a metric
};

struct JobInfo {
  const SolverSpec& solver;
  const NetSpec& net;
  const NetPlan& plan;
  std::int64_t first_iteration, last_iteration, samples_per_iteration;
  std::string_view backend;
};
struct StepInfo {
  std::int64_t iteration;  // from 0
  double loss;             // the objective, smoothed over average_loss iterations
  double rate;             // the learning rate
  std::span<const OutputValue> outputs;
};
struct TestInfo {
  std::int64_t iteration;  // steps that were done before it
  int net;
  std::span<const OutputValue> outputs;  // over all samples of the test
};
struct SnapshotPaths {
  std::string model, state;
};
enum class Ending : std::uint8_t { done, stopped };

class Observer {
 public:
  virtual ~Observer() = default;
  virtual void on_start(const JobInfo&) {}
  virtual void on_step(const StepInfo&) {}
  virtual void on_test_start(std::int64_t /*iteration*/, int /*net*/) {}
  virtual void on_test(const TestInfo&) {}
  virtual void on_snapshot(std::int64_t /*iteration*/, const SnapshotPaths&) {}
  /// `loss` is the one of an extra forward pass at the end, if there was one.
  virtual void on_end(std::int64_t /*iteration*/, Ending, const double* /*loss*/) {}
};

}  // namespace crema::inline CREMA_ABI
