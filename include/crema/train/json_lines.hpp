// SPDX-License-Identifier: Apache-2.0
// JsonLines: what happens in a training job as lines of JSON, for programs that watch it.
//
//   JsonLines events([](std::string_view line) { std::fwrite(line.data(), 1, line.size(), stdout); });
//   trainer.add(events);
//
//   {"event":"step","iteration":101,"loss":0.5,"rate":0.01,"samples_per_second":8000,"outputs":[...]}
//
// The events are those of docs/spark_protocol.md: start, step, test, snapshot.
#pragma once

#include "crema/core/clock.hpp"
#include "crema/train/json.hpp"
#include "crema/train/observer.hpp"

namespace crema::inline CREMA_ABI {

class JsonLines final : public Observer {
 public:
  /// At most one step is told in `seconds`; the first and the last always are.
  explicit JsonLines(TextSink sink, double seconds = 1) : sink_(std::move(sink)), seconds_(seconds) {}

  static std::vector<Json> outputs(std::span<const OutputValue> values) {
    std::vector<Json> all;
    for (const OutputValue& v : values)
      all.push_back(Json().add("name", v.name).add("value", v.value).add("loss_weight", v.loss_weight));
    return all;
  }

  void on_start(const JobInfo& job) override {
    last_ = job.last_iteration, told_ = job.first_iteration, samples_ = job.samples_per_iteration;
    first_ = true, told_at_ = monotonic_seconds();
    tell(Json()
             .add("event", "start")
             .add("iteration", job.first_iteration)
             .add("max_iter", job.last_iteration)
             .add("samples_per_iteration", samples_)
             .add("net", job.net.name)
             .add("backend", job.backend));
  }
  void on_step(const StepInfo& s) override {
    const double now = monotonic_seconds();
    const std::int64_t done = s.iteration + 1;
    if (!first_ && now - told_at_ < seconds_ && done < last_) return;
    const double seconds = now - told_at_;
    tell(Json()
             .add("event", "step")
             .add("iteration", done)
             .add("loss", s.loss)
             .add("rate", s.rate)
             .add("samples_per_second",
                  seconds > 0 ? static_cast<double>((done - told_) * samples_) / seconds : 0.0)
             .add("outputs", outputs(s.outputs)));
    first_ = false, told_ = done, told_at_ = now;
  }
  void on_test(const TestInfo& t) override {
    tell(Json()
             .add("event", "test")
             .add("iteration", t.iteration)
             .add("net", t.net)
             .add("outputs", outputs(t.outputs)));
  }
  void on_snapshot(std::int64_t iteration, const SnapshotPaths& p) override {
    tell(Json()
             .add("event", "snapshot")
             .add("iteration", iteration)
             .add("model", p.model)
             .add("state", p.state));
  }

 private:
  void tell(const Json& event) { sink_(event.text() + "\n"); }

  TextSink sink_;
  double seconds_;
  bool first_ = true;
  std::int64_t told_ = 0, last_ = 0, samples_ = 0;
  double told_at_ = 0;
};

}  // namespace crema::inline CREMA_ABI
