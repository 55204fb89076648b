// SPDX-License-Identifier: Apache-2.0
// ProgressBar: one line on a terminal that is written over: share done, rate, time left, loss, last test.
//
//   ProgressBar bar([](std::string_view s) { std::fwrite(s.data(), 1, s.size(), stderr); }, terminal_columns);
//   trainer.add(bar);
//
//   [=============>               ] 4690/9380  7.9k img/s  0:38 left  loss 0.2134  accuracy 0.9021
//
// Drawn ten times a second at most. Tests and snapshots leave a line of their own above it.
#pragma once

#include <algorithm>
#include <cstdio>

#include "crema/core/clock.hpp"
#include "crema/train/observer.hpp"

namespace crema::inline CREMA_ABI {

/// "0:07", "12:34", "3:05:59".
inline std::string minutes_text(double seconds) {
  const auto s = static_cast<long>(std::max(0.0, seconds) + 0.5);
  char buffer[48];
  if (s < 3600)
    std::snprintf(buffer, sizeof buffer, "%ld:%02ld", s / 60, s % 60);
  else
    std::snprintf(buffer, sizeof buffer, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
  return buffer;
}
/// "950", "7.9k", "1.2M": three digits or so.
inline std::string short_number(double x) {
  char buffer[32];
  const double y = x >= 1e6 ? x / 1e6 : x >= 1e3 ? x / 1e3 : x;
  std::snprintf(buffer, sizeof buffer, y < 10 && x >= 1e3 ? "%.1f%s" : "%.0f%s", y,
                x >= 1e6   ? "M"
                : x >= 1e3 ? "k"
                           : "");
  return buffer;
}

class ProgressBar final : public Observer {
 public:
  explicit ProgressBar(TextSink sink, int columns = 80)
      : sink_(std::move(sink)), columns_(std::max(columns, 20)) {}

  void on_start(const JobInfo& job) override {
    first_ = done_ = job.first_iteration, last_ = job.last_iteration;
    samples_ = job.samples_per_iteration;
    started_ = monotonic_seconds(), resting_ = 0;
    sink_(cat(job.net.name.empty() ? "net" : job.net.name, ": ", last_ - first_, " iterations of ", samples_,
              " samples\n"));
  }
  void on_step(const StepInfo& s) override {
    done_ = s.iteration + 1, loss_ = s.loss;
    const double now = monotonic_seconds();
    if (now - drawn_ < 0.1 && done_ < last_) return;
    draw(now);
  }
  void on_test_start(std::int64_t, int) override { test_started_ = monotonic_seconds(); }
  void on_test(const TestInfo& t) override {
    resting_ += monotonic_seconds() - test_started_;
    std::string text = cat("iteration ", t.iteration, ", test net ", t.net, ":");
    for (const OutputValue& v : t.outputs) {
      text += cat("  ", v.name, " ", digits(v.value));
      if (v.loss_weight == 0) score_ = cat("  ", v.name, " ", digits(v.value));
    }
    above(text);
  }
  void on_snapshot(std::int64_t, const SnapshotPaths& p) override { above(cat("snapshot: ", p.state)); }
  void on_end(std::int64_t iteration, Ending ending, const double*) override {
    above(cat(ending == Ending::done ? "done" : "stopped", " after iteration ", iteration, ", ",
              minutes_text(monotonic_seconds() - started_)));
    sink_("\r\x1b[K");
  }

 private:
  static std::string digits(double x) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.4f", x);
    return buffer;
  }
  void above(const std::string& text) {
    sink_(cat("\r\x1b[K", text, "\n"));
    if (done_ > first_ && done_ < last_) draw(monotonic_seconds());
  }
  void draw(double now) {
    drawn_ = now;
    const double seconds = std::max(now - started_ - resting_, 1e-9);
    const double rate = static_cast<double>(done_ - first_) / seconds;
    const std::string tail =
        cat(" ", done_, "/", last_, "  ", short_number(rate * static_cast<double>(samples_)), " img/s  ",
            minutes_text(static_cast<double>(last_ - done_) / rate), " left  loss ", digits(loss_), score_);
    const int room = std::min(columns_ - 3 - static_cast<int>(tail.size()), 40);
    std::string bar;
    if (room >= 5) {
      const double share = last_ > 0 ? static_cast<double>(done_) / static_cast<double>(last_) : 1;
      const auto width = static_cast<std::size_t>(room), full = static_cast<std::size_t>(share * room);
      bar = cat("[", std::string(full, '='), full < width ? ">" : "",
                std::string(full < width ? width - full - 1 : 0, ' '), "]");
    }
    sink_(cat("\r\x1b[K", (bar + tail).substr(0, static_cast<std::size_t>(columns_ - 1))));
  }

  TextSink sink_;
  int columns_;
  std::int64_t first_ = 0, done_ = 0, last_ = 0, samples_ = 0;
  double started_ = 0, drawn_ = 0, test_started_ = 0, resting_ = 0, loss_ = 0;
  std::string score_;
};

}  // namespace crema::inline CREMA_ABI
