// SPDX-License-Identifier: Apache-2.0
// Log: a training job in Caffe's own log lines, with glog's prefix, so that Caffe's parse_log.py and its
// descendants read them.
//
//   Log log([](std::string_view line) { std::fwrite(line.data(), 1, line.size(), stderr); });
//   trainer.add(log);
//
//   I1124 12:34:56.789012  4711 solver.cpp:218] Iteration 100 (812.5 iter/s, 0.123s/100 iters), loss = 0.2134
//   I1124 12:34:56.789033  4711 solver.cpp:237]     Train net output #0: loss = 0.2134 (* 1 = 0.2134 loss)
#pragma once

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>

#include "crema/core/clock.hpp"
#include "crema/train/observer.hpp"

namespace crema::inline CREMA_ABI {

/// A number as C++ streams and glog print it: six significant digits.
inline std::string six_digits(double x) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%g", x);
  return buffer;
}

/// glog's prefix of a line of severity I, W or E: "I1124 12:34:56.789012  4711 solver.cpp:218] ".
inline std::string log_prefix(char severity, std::string_view place) {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  tm t;
  localtime_r(&now.tv_sec, &t);
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%c%02d%02d %02d:%02d:%02d.%06ld %5ld ", severity, t.tm_mon + 1,
                t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, now.tv_nsec / 1000,
                static_cast<long>(::syscall(SYS_gettid)));
  return cat(std::string_view(buffer), place, "] ");
}

class Log final : public Observer {
 public:
  explicit Log(TextSink sink) : sink_(std::move(sink)) {}

  /// A line of the host's own, in the same form.
  void line(std::string_view place, std::string_view text, char severity = 'I') {
    sink_(cat(log_prefix(severity, place), text, "\n"));
  }

  void on_start(const JobInfo& job) override {
    display_ = job.solver.display;
    last_ = job.first_iteration;
    started_ = monotonic_seconds();
    line("solver.cpp:279", cat("Solving ", job.net.name));
    line("solver.cpp:280", cat("Learning Rate Policy: ", job.solver.lr_policy));
  }
  void on_step(const StepInfo& s) override {
    if (display_ <= 0 || s.iteration % display_ != 0) return;
    const double now = monotonic_seconds(), lapse = now - started_;
    const double rate = lapse > 0 ? static_cast<double>(s.iteration - last_) / lapse : 0;
    line("solver.cpp:218", cat("Iteration ", s.iteration, " (", six_digits(rate), " iter/s, ",
                               six_digits(lapse), "s/", display_, " iters), loss = ", six_digits(s.loss)));
    outputs("solver.cpp:237", "Train", s.outputs);
    line("sgd_solver.cpp:105", cat("Iteration ", s.iteration, ", lr = ", six_digits(s.rate)));
    started_ = now, last_ = s.iteration;
  }
  void on_test_start(std::int64_t iteration, int net) override {
    line("solver.cpp:330", cat("Iteration ", iteration, ", Testing net (#", net, ")"));
  }
  void on_test(const TestInfo& t) override { outputs("solver.cpp:397", "Test", t.outputs); }
  void on_snapshot(std::int64_t, const SnapshotPaths& p) override {
    line("solver.cpp:447", cat("Snapshotting to binary proto file ", p.model));
    line("sgd_solver.cpp:273", cat("Snapshotting solver state to binary proto file ", p.state));
  }
  void on_end(std::int64_t iteration, Ending ending, const double* loss) override {
    if (loss) line("solver.cpp:310", cat("Iteration ", iteration, ", loss = ", six_digits(*loss)));
    if (ending == Ending::stopped)
      line("solver.cpp:295", "Optimization stopped early.");
    else
      line("solver.cpp:315", "Optimization Done.");
  }

 private:
  void outputs(std::string_view place, std::string_view net, std::span<const OutputValue> values) {
    for (std::size_t k = 0; k < values.size(); ++k) {
      const OutputValue& v = values[k];
      std::string text = cat("    ", net, " net output #", k, ": ", v.name, " = ", six_digits(v.value));
      if (v.loss_weight != 0)
        text += cat(" (* ", six_digits(v.loss_weight), " = ", six_digits(v.loss_weight * v.value), " loss)");
      line(place, text);
    }
  }

  TextSink sink_;
  int display_ = 0;
  std::int64_t last_ = 0;
  double started_ = 0;
};

}  // namespace crema::inline CREMA_ABI
