// SPDX-License-Identifier: Apache-2.0
// WorldCommunicator: what the communicators of a World (tcp, mpi) share: a failure, here or elsewhere, breaks them
// on all ranks, with the verdict that the world's control connections have agreed on.
#pragma once

#include "crema/comm/call_text.hpp"
#include "crema/comm/control.hpp"

namespace crema::inline CREMA_ABI {

namespace detail {
/// Thrown inside a communicator that saw a failure which may only have followed from another: others are asked first.
struct Witnessed {
  std::string text;
};
}  // namespace detail

class WorldCommunicator : public Communicator {
 public:
  void fail(const std::string& why) noexcept override {
    try {
      if (!broken_.empty()) return;
      // What all ranks find out together names a rank already, and must not get the name of whoever says it first.
      broken_ = why.starts_with("rank ") ? why : cat("rank ", rank(), ": ", why);
      if (control_) control_->report_here(broken_);
    } catch (...) {  // no memory for the words: the world ends without them, by this rank's leaving
    }
  }
  std::string failure() const override {
    return broken_.empty() && control_ ? control_->failure().text() : broken_;
  }

 protected:
  /// `control` outlives it, and is null where there is one rank.
  WorldCommunicator(int own_rank, int ranks, double seconds, detail::Control* control)
      : Communicator(own_rank, ranks, seconds), control_(control) {}

  /// Runs f. A failure breaks the communicator, here and on all ranks, and is thrown as the verdict of all.
  template <class F>
  void guarded(F&& f) {
    if (!broken_.empty()) throw CommError(broken_);
    try {
      check_failure();
      f();
      return;
    } catch (const detail::Witnessed& w) {
      broken_ = control_ ? control_->verdict(w.text, 0.5) : w.text;
    } catch (const CommError& e) {
      broken_ = control_ ? control_->verdict(e.message(), 0) : e.message();
    }
    throw CommError(broken_);
  }
  void check_failure() const {
    if (control_) control_->failure().check();
  }
  /// Set when the world breaks: what waits polls it. -1 where there is one rank.
  int wake_fd() const { return control_ ? control_->failure().wake().fd() : -1; }

  std::string late_message_text(const Operation& op, double seconds) const {
    return detail::late_message_text(op, cat("rank ", op.peer), cat("rank ", rank()), seconds);
  }

 private:
  detail::Control* control_;
  std::string broken_;
};

}  // namespace crema
