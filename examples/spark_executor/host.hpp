// SPDX-License-Identifier: Apache-2.0
// Host: the process that started this one, at the other ends of standard input and output.
//
//   Host host("/a/private/folder");
//   host.say(Json().add("event", "hello"));
//   std::string order = host.order("job", 60);      // the line "job ..." without its word
//   host.stop_wanted();                             // a line "stop" has come
//   host.exit(Exit::done);
//
// Standard output becomes the host's alone: what libraries print there goes to standard error. When the host is gone
// (standard input ends, the parent is another, or it said `alive` and falls silent), the folders that are owned are
// wiped and the process ends. A thread watches for that until then: a Host is never destroyed.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <mutex>
#include <thread>

#include "crema/core/descriptor.hpp"
#include "crema/core/error.hpp"
#include "crema/train/json.hpp"

/// The exit codes of docs/spark_protocol.md.
enum Exit : int { done = 0, failed = 1, usage = 2, witness = 3, no_world = 4, host_gone = 8, rows_cut = 10 };

class Host {
 public:
  /// `folder` is wiped when the host is gone. Throws Error unless it is an absolute path of a folder of this user's.
  explicit Host(const std::string& folder);
  Host(const Host&) = delete;

  /// One more folder to wipe.
  void own(const std::string& folder);
  /// Removes a folder that was owned, now.
  void disown(const std::string& folder);

  /// One event, from any thread.
  void say(const crema::Json& event) { write(event.text() + "\n"); }
  void log(std::string_view text, std::string_view level = "I");
  /// Whole lines.
  void write(std::string_view lines);

  /// The next order, which has to begin with `word`. Throws Error when it does not come in time, unless the host says
  /// `alive` meanwhile, or is another.
  std::string order(std::string_view word, double seconds);
  bool stop_wanted() const { return stop_; }

  /// Seconds that a host which says `alive` may be silent.
  void allow_silence(double seconds) { silence_ = seconds; }
  /// Who hears why when it was silent for longer; {} for nobody.
  void on_silence(std::function<void(const std::string& why)> told);
  /// Ends the process, unless the watch is about to. It first waits for a word of a host that says `alive`: one that is
  /// stopped would not remove the folders.
  [[noreturn]] void exit(int status);

 private:
  ~Host() = delete;
  void watch();
  void take(std::string& bytes);
  [[noreturn]] void end(const std::string& why = {});

  int out_, parent_;
  bool asked_ = false;      // the watch's: whether a line `alive` is to be answered
  bool answers_ = false;    // whether one has ever come
  std::int64_t heard_ = 0;  // lines
  std::atomic<double> silence_ = 10;
  std::function<void(const std::string&)> told_;
  std::vector<std::string> folders_;
  std::deque<std::string> lines_;
  std::atomic<bool> stop_ = false;
  std::mutex mutex_, writing_;
  std::condition_variable arrived_;
};
