// SPDX-License-Identifier: Apache-2.0
// ServiceThread: a thread of the library's own, beside the host's. It takes no signals: those are the host's.
#pragma once

#include <pthread.h>
#include <signal.h>

#include "crema/comm/socket.hpp"

namespace crema::inline CREMA_ABI::detail {

class ServiceThread {
 public:
  ServiceThread() = default;  // none
  /// run(self) on a new thread. Throws CommError when the system has none.
  template <class T>
  ServiceThread(T* self, void (*run)(T&), const char* purpose) {
    struct Start {
      T* self;
      void (*run)(T&);
    };
    auto* const start = new Start{self, run};
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const auto body = [](void* given) -> void* {
      const Start s = *static_cast<Start*>(given);
      delete static_cast<Start*>(given);
      s.run(*s.self);
      return nullptr;
    };
    const int error = pthread_create(&thread_, nullptr, body, start);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (error != 0) delete start;
    if (error != 0) throw CommError(cat("no thread for ", purpose, ": ", system_text(error)));
    running_ = true;
  }
  ServiceThread(const ServiceThread&) = delete;
  ServiceThread& operator=(ServiceThread&& o) noexcept {
    std::swap(thread_, o.thread_), std::swap(running_, o.running_);
    return *this;
  }
  ~ServiceThread() { join(); }

  /// Waits for its end, which somebody has asked for.
  void join() noexcept {
    if (std::exchange(running_, false)) pthread_join(thread_, nullptr);
  }
  /// Lets it go: it ends with the process at the latest, and what it uses has to last as long.
  void detach() noexcept {
    if (std::exchange(running_, false)) pthread_detach(thread_);
  }

 private:
  pthread_t thread_{};
  bool running_ = false;
};

}  // namespace crema
