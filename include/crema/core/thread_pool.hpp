// SPDX-License-Identifier: Apache-2.0
// ThreadPool: runs the chunks of one region at a time on a fixed set of threads, the caller among them.
//
//   ThreadPool pool(4);
//   pool.parallel(64, [&](std::int64_t chunk) { ... });   // returns when all 64 are done
//
// Threads claim chunks, so a core that another process has taken delays one chunk and not the region; each begins with the
// same part of every region (up to 8 parts), because what it wrote there in the region before is in its cache. An
// empty region costs about 0.1 us while the workers spin (0.3 ms after the last region), and a system call
// and a wake-up after that. What a chunk computes must depend on its number alone; then the bits are the same
// for any number of threads.
#pragma once

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdint>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

#include "crema/core/clock.hpp"
#include "crema/core/error.hpp"
#include "crema/core/text.hpp"

namespace crema::inline CREMA_ABI {

/// The floating-point mode of every region while it lives: round to nearest, denormals are zero, no traps.
/// The mode of the thread that made it comes back when it goes.
class FloatMode {
 public:
#if defined(__x86_64__)
  FloatMode() : saved_(__builtin_ia32_stmxcsr()) { __builtin_ia32_ldmxcsr(0x9fc0); }
  ~FloatMode() { __builtin_ia32_ldmxcsr(saved_); }
#else
  FloatMode() {}
#endif
  FloatMode(const FloatMode&) = delete;
  FloatMode& operator=(const FloatMode&) = delete;

 private:
#if defined(__x86_64__)
  unsigned saved_;
#endif
};

/// One turn of a loop that waits by spinning.
inline void spin_once() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// How many processors this process may use.
CREMA_INLINE int allowed_cores();
#if CREMA_BODIES
CREMA_INLINE int allowed_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  const long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n < 1 ? 1 : static_cast<int>(n);
}
#endif

class ThreadPool {
 public:
  /// `threads` counts the caller; at least 1. Threads beyond the allowed cores, or spin = false, never spin:
  /// they sleep at once. Throws Error when the system gives no more threads.
  explicit ThreadPool(int threads, bool spin = true);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool() { join(); }

  int threads() const noexcept { return started_ + 1; }

  /// Calls f(chunk) once for every chunk in [0, chunks), in any order, and returns when all calls have. If
  /// some throw, the others still run, and the exception of the lowest such chunk is rethrown. From inside a
  /// chunk, or while another thread is in a region of this pool, it runs on the calling thread alone.
  template <class F>
  void parallel(std::int64_t chunks, F&& f) {
    using Body = std::remove_reference_t<F>;
    run(
        chunks,
        [](const void* body, std::int64_t chunk) { (*static_cast<Body*>(const_cast<void*>(body)))(chunk); },
        &f);
  }

 private:
  using Call = void (*)(const void*, std::int64_t);
  static std::size_t count(int n) { return n > 0 ? static_cast<std::size_t>(n) : 0; }
  static constexpr double spin_seconds = 3e-4;

  /// Waits until `word` differs from `old`: spinning first, then asleep, with `sleepers` counting who must be
  /// woken.
  void wait(std::atomic<std::uint32_t>& word, std::uint32_t old, std::atomic<int>& sleepers);
  static void wake(std::atomic<std::uint32_t>& word, const std::atomic<int>& sleepers);
  void run(std::int64_t chunks, Call call, const void* body);
  /// Runs chunks of one region until none is left: first those of the thread's own part, so that it finds in its cache
  /// what it has written there in the region before, then others'. A ticket carries the region's number and the chunks
  /// that are left of a part: a worker that comes late finds another number or none left, and nothing waits for it. While
  /// one is left the region is open, so what was read before a successful exchange belongs to that region.
  void claim(std::uint32_t region, int thread);
  void work();
  /// The first chunk of a part.
  std::int64_t first_of(int part, std::int64_t chunks) const { return chunks * part / parts_; }
  void join();

  /// The exception of the lowest chunk that threw.
  struct Failure {
    std::atomic_flag lock = ATOMIC_FLAG_INIT;
    std::int64_t chunk = INT64_MAX;
    std::exception_ptr error;

    void guard(Call call, const void* body, std::int64_t i) noexcept;
  };

  const bool spin_;
  std::unique_ptr<pthread_t[]> workers_;
  int started_ = 0;
  std::atomic<bool> busy_{false}, stop_{false};
  std::atomic<Call> call_{nullptr};
  std::atomic<const void*> body_{nullptr};
  std::atomic<std::uint32_t> chunks_{0};
  Failure failure_;
  struct alignas(64) Ticket {
    std::atomic<std::uint64_t> value{0};  // region << 32 | chunks left
  };
  static constexpr int most_parts = 8;  // more would cost more to deal out
  const int parts_;
  Ticket tickets_[most_parts];
  std::atomic<int> workers_started_{0};
  alignas(64) std::atomic<std::uint32_t> region_{0};
  std::atomic<int> idlers_{0};
  alignas(64) std::atomic<std::uint32_t> done_{0};
  std::atomic<int> finishers_{0};
};

#if CREMA_BODIES
CREMA_INLINE ThreadPool::ThreadPool(int threads, bool spin)
    : spin_(spin && threads <= allowed_cores()),
      workers_(std::make_unique<pthread_t[]>(count(threads))),
      parts_(threads < 1            ? 1
             : threads < most_parts ? threads
                                    : most_parts) {
  sigset_t all, before;  // workers take no signals: those belong to the host's threads
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = 0;
  for (; started_ < threads - 1; ++started_) {
    const auto start = [](void* self) -> void* { return static_cast<ThreadPool*>(self)->work(), nullptr; };
    error = pthread_create(&workers_[count(started_)], nullptr, start, this);
    if (error != 0) break;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error == 0) return;
  join();
  throw Error(cat("cannot start thread ", started_ + 2, " of ", threads, " (error ", error,
                  "): ask for fewer threads"));
}
CREMA_INLINE_HOT void ThreadPool::wait(std::atomic<std::uint32_t>& word, std::uint32_t old,
                                       std::atomic<int>& sleepers) {
  if (spin_) {
    const double end = monotonic_seconds() + spin_seconds;
    do {
      for (int i = 0; i < 64; ++i) {
        if (word.load(std::memory_order_acquire) != old) return;
        spin_once();
      }
    } while (monotonic_seconds() < end);
  }
  sleepers.fetch_add(
      1);  // before the kernel compares: either it sees the new value, or the waker sees a sleeper
  while (word.load() == old) syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, old, nullptr, nullptr, 0);
  sleepers.fetch_sub(1);
}
CREMA_INLINE_HOT void ThreadPool::wake(std::atomic<std::uint32_t>& word, const std::atomic<int>& sleepers) {
  if (sleepers.load() > 0) syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}
CREMA_INLINE_HOT void ThreadPool::run(std::int64_t chunks, Call call, const void* body) {
  if (chunks <= 0) return;
  if (chunks > UINT32_MAX) throw Error(cat("a region of ", chunks, " chunks: at most 2^32 - 1"));
  const FloatMode mode;
  bool idle = false;
  if (started_ == 0 || chunks == 1 || !busy_.compare_exchange_strong(idle, true)) {
    Failure alone;
    for (std::int64_t i = 0; i < chunks; ++i) alone.guard(call, body, i);
    if (alone.error) std::rethrow_exception(alone.error);
    return;
  }
  call_.store(call, std::memory_order_relaxed);
  body_.store(body, std::memory_order_relaxed);
  chunks_.store(static_cast<std::uint32_t>(chunks), std::memory_order_relaxed);
  done_.store(0, std::memory_order_relaxed);
  const std::uint32_t region = region_.load(std::memory_order_relaxed) + 1;
  for (int p = 0; p < parts_; ++p)
    tickets_[p].value.store(std::uint64_t{region} << 32 |
                                static_cast<std::uint64_t>(first_of(p + 1, chunks) - first_of(p, chunks)),
                            std::memory_order_release);
  region_.store(region);
  wake(region_, idlers_);
  claim(region, 0);
  for (std::uint32_t done; (done = done_.load(std::memory_order_acquire)) != chunks;)
    wait(done_, done, finishers_);
  const std::exception_ptr error = std::exchange(failure_.error, nullptr);
  failure_.chunk = INT64_MAX;
  busy_.store(false, std::memory_order_release);
  if (error) std::rethrow_exception(error);
}
CREMA_INLINE_HOT void ThreadPool::claim(std::uint32_t region, int thread) {
  for (int i = 0; i < parts_; ++i) {
    const int part = (thread + i) % parts_;
    std::atomic<std::uint64_t>& value = tickets_[part].value;
    std::uint64_t ticket = value.load(std::memory_order_acquire);
    while (ticket >> 32 == region && static_cast<std::uint32_t>(ticket) > 0) {
      const Call call = call_.load(std::memory_order_relaxed);
      const void* const body = body_.load(std::memory_order_relaxed);
      const std::uint32_t chunks = chunks_.load(std::memory_order_relaxed);
      if (!value.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel,
                                       std::memory_order_acquire))
        continue;
      failure_.guard(call, body, first_of(part + 1, chunks) - static_cast<std::uint32_t>(ticket));
      if (done_.fetch_add(1) + 1 == chunks) wake(done_, finishers_);
      ticket = value.load(std::memory_order_acquire);
    }
  }
}
CREMA_INLINE_HOT void ThreadPool::work() {
  const int thread = 1 + workers_started_.fetch_add(1);
  for (std::uint32_t seen = 0;;) {
    wait(region_, seen, idlers_);
    seen = region_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_acquire)) return;
    const FloatMode mode;
    claim(seen, thread);
  }
}
CREMA_INLINE void ThreadPool::join() {
  stop_.store(true, std::memory_order_release);
  region_.fetch_add(1);
  wake(region_, idlers_);
  for (int i = 0; i < started_; ++i) pthread_join(workers_[count(i)], nullptr);
}
CREMA_INLINE_HOT void ThreadPool::Failure::guard(Call call, const void* body, std::int64_t i) noexcept {
  try {
    call(body, i);
  } catch (...) {
    while (lock.test_and_set(std::memory_order_acquire)) spin_once();
    if (i < chunk) chunk = i, error = std::current_exception();
    lock.clear(std::memory_order_release);
  }
}
#endif

}  // namespace crema
