// SPDX-License-Identifier: Apache-2.0
// ThreadTeam: what the ranks of one process share: the collectives and messages that were started, and who does the
// work. The lower half of comm/threads.hpp.
//
// A collective is cut into chunks; whoever waits, or calls progress(), claims chunks and does them for all ranks,
// straight from and to the ranks' own buffers. So a rank that computes delays nobody who waits, and each element is
// read once and written once per buffer. The lock is taken to join and to leave a collective, not for its chunks.
#pragma once

#include <algorithm>
#include <deque>
#include <list>
#include <map>
#include <mutex>
#include <vector>

#include "crema/comm/arithmetic.hpp"
#include "crema/comm/call_text.hpp"
#include "crema/core/thread_pool.hpp"

namespace crema::inline CREMA_ABI::detail {

/// A mutex held for some 100 ns at a time: tried for a while, because to sleep and be woken takes longer.
class BriefMutex {
 public:
  void lock() {
    for (int i = 0; i < 100; ++i, spin_once())
      if (mutex_.try_lock()) return;
    mutex_.lock();
  }
  void unlock() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

/// A number that ranks wait for to change: spinning for 0.3 ms where every rank has a core, then asleep.
class ThreadEvent {
 public:
  explicit ThreadEvent(bool spin) : spin_(spin) {}
  std::uint32_t now() const { return word_.load(std::memory_order_acquire); }
  void happen() {
    word_.fetch_add(1);
    if (sleepers_.load() > 0) syscall(SYS_futex, &word_, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
  }
  /// Until it differs from `old`, or `end` on the monotonic clock; may return early.
  void wait(std::uint32_t old, double end) {
    const double begin = monotonic_seconds(), spin_end = std::min(begin + 3e-4, end);
    while (spin_ && monotonic_seconds() < spin_end)
      for (int i = 0; i < 64; ++i) {
        if (now() != old) return;
        spin_once();
      }
    const double left = std::max(0.0, end - monotonic_seconds());
    timespec most{static_cast<time_t>(left), 0};
    most.tv_nsec = static_cast<long>((left - static_cast<double>(most.tv_sec)) * 1e9);
    sleepers_.fetch_add(1);
    if (word_.load() == old) syscall(SYS_futex, &word_, FUTEX_WAIT_PRIVATE, old, &most, nullptr, 0);
    sleepers_.fetch_sub(1);
  }

 private:
  bool spin_;
  alignas(64) std::atomic<std::uint32_t> word_{0};
  std::atomic<int> sleepers_{0};
};

/// A collective of all ranks: what each gave, and how far it is.
struct ThreadCollective {
  std::vector<Operation> calls;
  std::vector<bool> posted;
  int missing, working = 0;  // ranks that have not come; that claim chunks
  std::size_t chunks = 0, done = 0;
  std::atomic<std::size_t> claimed{0};
  explicit ThreadCollective(std::size_t ranks)
      : calls(ranks), posted(ranks, false), missing(static_cast<int>(ranks)) {}
  bool complete() const { return missing == 0 && done == chunks; }
};

/// A message on its way: from start_send until it is in the receiver's memory.
struct ThreadMessage {
  int from;
  std::uint64_t ticket;  // the sender's, 0 if its memory was copied at once
  Operation call;
  std::vector<std::byte> copy;
  bool taken = false;  // a receive has it
};

/// What a team's collectives do. `whole`: all of it. A team that is some ranks of a larger world does one half, the other
/// ranks' share between them (comm/hierarchy.hpp): `inward`, what its ranks have goes to its first rank; `outward`, what
/// the first rank has got goes to its ranks.
struct TeamShare {
  enum Way : std::uint8_t { whole, inward, outward } way = whole;
  int first = 0, all = 0;  // the team's first rank among all
};

class ThreadTeam {
 public:
  explicit ThreadTeam(int ranks, TeamShare share = {})
      : ranks_(ranks),
        share_(share.all > 0 ? share : TeamShare{share.way, 0, ranks}),
        event_(ranks <= allowed_cores()),
        inbox_(count(ranks)),
        next_(count(ranks), 0) {}

  int ranks() const { return ranks_; }
  /// "rank 3": the name of a rank of this team.
  std::string rank_name(int rank) const { return cat("rank ", share_.first + rank); }
  ThreadEvent& event() { return event_; }

  bool broken() const { return broken_.load(std::memory_order_acquire); }
  /// The failure's words; empty while there is none.
  std::string failure() {
    const std::lock_guard lock(mutex_);
    return failure_;
  }
  int culprit() {
    const std::lock_guard lock(mutex_);
    return culprit_;
  }
  /// Breaks the team unless it is broken.
  void fail(int rank, const std::string& why) {
    {
      const std::lock_guard lock(mutex_);
      fail_locked(rank, why);
    }
    event_.happen();
  }
  /// Waits until nobody works on the buffers of others any more: they may go.
  void settle() {
    while (working_.load() > 0) sched_yield();
  }

  /// Joins the collective that this rank has come to. Its number; fails the team where calls do not match.
  std::uint64_t join(int rank, const Operation& op) {
    std::uint64_t number = 0;
    {
      const std::lock_guard lock(mutex_);
      number = next_[count(rank)]++;
      while (collectives_.size() <= number - first_) collectives_.emplace_back(count(ranks_));
      ThreadCollective& c = collectives_[number - first_];
      for (int r = 0; r < ranks_; ++r)
        if (c.posted[count(r)] && !alike(c.calls[count(r)], op)) {
          fail_locked(rank, cat("calls do not match: ", rank_name(rank), " called ", call_text(op), " where ",
                                rank_name(r), " called ", call_text(c.calls[count(r)])));
          break;
        }
      c.calls[count(rank)] = op, c.calls[count(rank)].keep = {}, c.posted[count(rank)] = true;
      if (--c.missing == 0 && op.kind != Operation::barrier && ranks_ > 1)
        c.chunks = (op.count + chunk_elements(op) - 1) / chunk_elements(op);
      drop_complete();  // it may have no chunks
    }
    event_.happen();
    return number;
  }
  bool finished(std::uint64_t number) {
    const std::lock_guard lock(mutex_);
    return number < first_ || collectives_[number - first_].complete();
  }
  /// "rank 2, rank 3": who has not come to a collective; empty where all have.
  std::string missing(std::uint64_t number) {
    const std::lock_guard lock(mutex_);
    std::string names;
    for (int r = 0; number >= first_ && number - first_ < collectives_.size() && r < ranks_; ++r)
      if (!collectives_[number - first_].posted[count(r)])
        names += cat(names.empty() ? "" : ", ", rank_name(r));
    return names;
  }
  /// The same for the oldest collective that some rank has come to.
  std::string missing_in_oldest() {
    std::uint64_t oldest = 0;
    {
      const std::lock_guard lock(mutex_);
      oldest = first_;
      for (const ThreadCollective& c : collectives_) {
        if (c.missing > 0) break;
        ++oldest;
      }
    }
    return missing(oldest);
  }
  std::string call(std::uint64_t number, int rank) {
    const std::lock_guard lock(mutex_);
    return number < first_ ? "" : call_text(collectives_[number - first_].calls[count(rank)]);
  }

  /// Does chunks of the oldest collective that has some, until all are claimed or `end` has come; false if there is none.
  bool work(double end) {
    ThreadCollective* c = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (broken()) return false;
      for (ThreadCollective& one : collectives_)
        if (one.missing == 0 && one.claimed.load(std::memory_order_relaxed) < one.chunks) {
          c = &one;
          break;
        }
      if (!c) return false;
      ++c->working;
      working_.fetch_add(1);  // under the lock: a failure that comes later waits for this rank's chunk
    }
    std::size_t did = 0;
    for (std::size_t chunk;
         !broken() && monotonic_seconds() < end && (chunk = c->claimed.fetch_add(1)) < c->chunks; ++did)
      run_chunk(c->calls.data(), chunk);
    bool complete = false;
    {
      const std::lock_guard lock(mutex_);
      c->done += did;
      complete = did > 0 && c->complete();
      --c->working;
      drop_complete();
    }
    working_.fetch_sub(1);
    if (complete) event_.happen();
    return did > 0;
  }

  BriefMutex& mutex() { return mutex_; }
  std::list<ThreadMessage>& inbox(int rank) { return inbox_[count(rank)]; }
  std::atomic<int>& working() { return working_; }

 private:
  static std::size_t count(int n) { return static_cast<std::size_t>(n); }
  static bool alike(const Operation& a, const Operation& b) {
    return a.kind == b.kind && a.type == b.type && a.reduction == b.reduction && a.peer == b.peer &&
           a.count == b.count;
  }
  std::size_t chunk_elements(const Operation& op) const {
    const std::size_t quarter = op.count * size_of(op.type) / count(4 * ranks_);  // of what a rank does
    return std::clamp<std::size_t>(quarter, 64 << 10, 256 << 10) / size_of(op.type);
  }

  void fail_locked(int rank, const std::string& why) {
    if (failure_.empty()) failure_ = why, culprit_ = rank;
    broken_.store(true, std::memory_order_release);
  }
  void drop_complete() {
    // All ranks have come to a complete one; a rank that still asks for it finds it before `first`.
    while (!collectives_.empty() && collectives_.front().complete() && collectives_.front().working == 0)
      collectives_.pop_front(), ++first_;
  }

  void run_chunk(const Operation* calls, std::size_t chunk) const {
    const Operation& op = calls[0];
    const std::size_t first = chunk * chunk_elements(op),
                      last = std::min(op.count, first + chunk_elements(op));
    if (share_.way == TeamShare::inward) return run_inward(calls, first, last);
    if (share_.way == TeamShare::outward) return run_outward(calls, first, last);
    if (op.kind == Operation::broadcast) return copy_to_all(calls, op.peer, first, last);
    if (op.kind == Operation::all_reduce) return reduce(calls, 0, ranks_, first, last);
    for_parts(op, first, last, [&](int r, std::size_t from, std::size_t to) {
      if (op.kind == Operation::all_gather)
        copy_to_all(calls, r, from, to);
      else
        reduce(calls, r, r + 1, from, to);
    });
  }
  void run_inward(const Operation* calls, std::size_t first, std::size_t last) const {
    const Operation& op = calls[0];
    if (op.kind == Operation::all_reduce || op.kind == Operation::reduce_scatter)
      return reduce(calls, 0, 1, first, last);
    if (op.kind == Operation::broadcast) {
      const int root = op.peer - share_.first;
      if (root > 0 && root < ranks_) copy(calls[root], calls[0], first, last);
      return;
    }
    for_parts(op, first, last, [&](int r, std::size_t from, std::size_t to) {
      if (r > 0) copy(calls[r], calls[0], from, to);
    });
  }
  void run_outward(const Operation* calls, std::size_t first, std::size_t last) const {
    const Operation& op = calls[0];
    if (op.kind != Operation::reduce_scatter) return copy_to_all(calls, 0, first, last);
    for_parts(op, first, last, [&](int r, std::size_t from, std::size_t to) {
      if (r > 0) copy(calls[0], calls[r], from, to);
    });
  }
  /// f(rank, from, to) for the pieces of a chunk that the team's ranks own.
  template <class F>
  void for_parts(const Operation& op, std::size_t first, std::size_t last, F&& f) const {
    for (int r = 0; r < ranks_; ++r) {
      const Part p = part_of(op.count, share_.all, share_.first + r);
      const std::size_t from = std::max(first, p.first), to = std::min(last, p.first + p.count);
      if (from < to) f(r, from, to);
    }
  }
  static void copy(const Operation& source, const Operation& target, std::size_t first, std::size_t last) {
    std::memcpy(at(target, first), at(source, first), (last - first) * size_of(source.type));
  }
  static std::byte* at(const Operation& op, std::size_t element) {
    return static_cast<std::byte*>(op.data) + element * size_of(op.type);
  }
  void copy_to_all(const Operation* calls, int root, std::size_t first, std::size_t last) const {
    for (int r = 0; r < ranks_; ++r)
      if (r != root) copy(calls[root], calls[r], first, last);
  }
  /// The sum of all ranks' elements, in the order of ranks, into the buffers of ranks [to0, to1).
  void reduce(const Operation* calls, int to0, int to1, std::size_t first, std::size_t last) const {
    const Arithmetic& a = arithmetic(calls[0].type, calls[0].reduction);
    const std::size_t size = size_of(calls[0].type);
    constexpr std::size_t block = 2048;  // elements: a block of all buffers stays in L1
    alignas(64) std::byte sums[block * 4];
    for (std::size_t i = first; i < last; i += block) {
      const std::size_t n = std::min(block, last - i);
      std::byte* acc = at(calls[0], i);  // the first rank's own memory, where a sum has its type
      if (a.accumulator != size) acc = sums, a.first(acc, at(calls[0], i), n);
      for (int r = 1; r + 1 < ranks_; ++r) a.next(acc, at(calls[r], i), n);
      std::byte* const out = at(calls[to0], i);
      a.last(out, to0 + 1 < to1 ? at(calls[to0 + 1], i) : nullptr, acc, at(calls[ranks_ - 1], i), n);
      for (int r = to0 + 2; r < to1; ++r) std::memcpy(at(calls[r], i), out, n * size);
    }
  }

  const int ranks_;
  const TeamShare share_;
  ThreadEvent event_;
  BriefMutex mutex_;
  std::deque<ThreadCollective> collectives_;  // number first_ and on
  std::uint64_t first_ = 0;
  std::vector<std::list<ThreadMessage>> inbox_;  // by receiver
  std::vector<std::uint64_t> next_;              // by rank: its next collective
  std::string failure_;
  std::atomic<bool> broken_{false};
  int culprit_ = -1;
  std::atomic<int> working_{0};
};

}  // namespace crema::inline CREMA_ABI::detail
