// SPDX-License-Identifier: Apache-2.0
// Communicator: how the ranks of one job exchange numbers, whatever carries them.
//
//   comm.all_reduce(gradients);                                     // std::span<float>: start and wait
//   Ticket t = comm.start_reduce_scatter(gradients);                // or start it,
//   ...; comm.progress(); ...                                       // move it on from time to time,
//   comm.wait(t);                                                   // and wait, until its deadline at most
//
// All ranks start the same collectives in the same order; a collective has a rank's result when its ticket is
// done. Sums are added in one fixed order: the same bits on every rank and in every run of one implementation
// and size. A Communicator is used by one thread at a time.
//
// The first failure (a peer that left, a deadline, calls that do not match) breaks a communicator for good:
// that call and every later one throw the same CommError, which names the ranks. Destructors do no collective
// work. Memory handed to start_...() must live until the ticket is done or the failure has been thrown or told by
// fail(); over MPI, which goes on owning it then, for ever: give `keep` what owns it, and a ticket holds it that long.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "crema/core/bfloat16.hpp"
#include "crema/core/clock.hpp"
#include "crema/core/error.hpp"
#include "crema/core/text.hpp"

namespace crema::inline CREMA_ABI {

enum class ElementType : std::uint8_t { float32, float64, bfloat16, int32, int64, uint8 };
enum class Reduction : std::uint8_t { sum, max, min };

/// What can be sent. bfloat16 sums are added in float and rounded once, at the end.
template <class T>
constexpr ElementType element_type = [] {
  if constexpr (std::same_as<T, float>)
    return ElementType::float32;
  else if constexpr (std::same_as<T, double>)
    return ElementType::float64;
  else if constexpr (std::same_as<T, BFloat16>)
    return ElementType::bfloat16;
  else if constexpr (std::same_as<T, std::int32_t>)
    return ElementType::int32;
  else if constexpr (std::same_as<T, std::int64_t>)
    return ElementType::int64;
  else {
    static_assert(std::same_as<T, std::uint8_t>, "float, double, BFloat16, int32_t, int64_t or uint8_t");
    return ElementType::uint8;
  }
}();
constexpr std::size_t size_of(ElementType t) {
  switch (t) {
    case ElementType::float64:
    case ElementType::int64:
      return 8;
    case ElementType::bfloat16:
      return 2;
    case ElementType::uint8:
      return 1;
    default:
      return 4;
  }
}

/// The part of n elements that a rank owns in reduce_scatter and all_gather: near-equal, in multiples of 16
/// elements but for the end, so that parts do not share a cache line.
struct Part {
  std::size_t first = 0, count = 0;
};
constexpr Part part_of(std::size_t n, int size, int rank) {
  const auto edge = [&](int r) {
    return r == size ? n : n / 16 * static_cast<std::size_t>(r) / static_cast<std::size_t>(size) * 16;
  };
  return {edge(rank), edge(rank + 1) - edge(rank)};
}

/// One operation that was started: what an implementation is given.
struct Operation {
  enum Kind : std::uint8_t { broadcast, all_reduce, reduce_scatter, all_gather, barrier, send, receive };
  Kind kind = barrier;
  ElementType type = ElementType::uint8;
  Reduction reduction = Reduction::sum;
  int peer = 0, tag = 0;  // root, or the other end
  void* data = nullptr;
  std::size_t count = 0;  // elements
  std::shared_ptr<const void> keep = {};

  bool is_message() const { return kind == send || kind == receive; }
  std::size_t bytes() const { return count * size_of(type); }
};

class Ticket {
 public:
  Ticket() = default;  // one that is done
  explicit Ticket(std::uint64_t id) : id_(id) {}
  std::uint64_t id() const { return id_; }

 private:
  std::uint64_t id_ = 0;
};

/// A message that has come and waits to be received.
struct Incoming {
  int from = 0, tag = 0;
  std::size_t bytes = 0;
};

inline constexpr int any_rank = -1;

class Communicator {
 public:
  using Keep = std::shared_ptr<const void>;

  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;
  virtual ~Communicator() = default;

  int rank() const noexcept { return rank_; }
  int size() const noexcept { return size_; }
  /// Seconds that a wait may take when it is not told otherwise.
  double timeout() const noexcept { return timeout_; }
  int most_tag() const noexcept { return most_tag_; }
  virtual std::string_view name() const noexcept = 0;  // "threads", "tcp", "mpi"

  /// data of `root` to all.
  template <class T>
  Ticket start_broadcast(std::span<T> data, int root, Keep keep = {}) {
    check_rank(root, "root");
    return start(
        {Operation::broadcast, element_type<T>, {}, root, 0, data.data(), data.size(), std::move(keep)});
  }
  /// data = the sum (maximum, minimum) of all ranks' data.
  template <class T>
  Ticket start_all_reduce(std::span<T> data, Reduction r = Reduction::sum, Keep keep = {}) {
    return start(
        {Operation::all_reduce, element_type<T>, r, 0, 0, data.data(), data.size(), std::move(keep)});
  }
  /// This rank's part_of(data) = the sum of all ranks' data there; the rest of data is left in any state.
  template <class T>
  Ticket start_reduce_scatter(std::span<T> data, Reduction r = Reduction::sum, Keep keep = {}) {
    return start(
        {Operation::reduce_scatter, element_type<T>, r, 0, 0, data.data(), data.size(), std::move(keep)});
  }
  /// Every rank's part_of(data) to all.
  template <class T>
  Ticket start_all_gather(std::span<T> data, Keep keep = {}) {
    return start(
        {Operation::all_gather, element_type<T>, {}, 0, 0, data.data(), data.size(), std::move(keep)});
  }
  /// Done when all ranks have started it.
  Ticket start_barrier() { return start({}); }
  /// Messages between two ranks with one tag (0 to most_tag()) come in the order they were started. A send is done
  /// when its memory may be used again. A receive of another size than the message is an error.
  template <class T>
  Ticket start_send(std::span<const T> data, int to, int tag, Keep keep = {}) {
    check_rank(to, "receiver"), check_message(any_rank, tag);
    return start({Operation::send,
                  element_type<T>,
                  {},
                  to,
                  tag,
                  const_cast<T*>(data.data()),
                  data.size(),
                  std::move(keep)});
  }
  template <class T>
  Ticket start_receive(std::span<T> data, int from, int tag, Keep keep = {}) {
    check_rank(from, "sender"), check_message(from, tag);
    return start(
        {Operation::receive, element_type<T>, {}, from, tag, data.data(), data.size(), std::move(keep)});
  }
  /// The first message from that rank (or any_rank) with that tag that has come and is not received, if any.
  virtual std::optional<Incoming> probe(int from, int tag) = 0;

  /// Moves what was started on, as far as it goes without waiting. Throws CommError.
  virtual void progress() = 0;
  /// Whether the operation has ended. Throws CommError.
  virtual bool done(Ticket) = 0;
  /// Waits until it has ended, at most `seconds`. Throws CommError.
  virtual void wait(Ticket, double seconds) = 0;
  void wait(Ticket t) { wait(t, timeout_); }

  /// What all start_...() come to; for communicators that stand on others.
  virtual Ticket start(Operation) = 0;

  /// Breaks the communicator on all ranks: their calls, this rank's included, throw CommError with this rank
  /// and `why`. Waits for nobody, but for threads of this process to let go of this rank's memory, and does not throw;
  /// what a rank does that cannot go on.
  virtual void fail(const std::string& why) noexcept = 0;
  /// The failure that broke it, or empty.
  virtual std::string failure() const = 0;

  // Start and wait.
  template <class T>
  void broadcast(std::span<T> data, int root) {
    wait(start_broadcast(data, root));
  }
  template <class T>
  void all_reduce(std::span<T> data, Reduction r = Reduction::sum) {
    wait(start_all_reduce(data, r));
  }
  template <class T>
  void reduce_scatter(std::span<T> data, Reduction r = Reduction::sum) {
    wait(start_reduce_scatter(data, r));
  }
  template <class T>
  void all_gather(std::span<T> data) {
    wait(start_all_gather(data));
  }
  void barrier() { wait(start_barrier()); }
  template <class T>
  void send(std::span<const T> data, int to, int tag) {
    wait(start_send(data, to, tag));
  }
  template <class T>
  void receive(std::span<T> data, int from, int tag) {
    wait(start_receive(data, from, tag));
  }

 protected:
  Communicator(int rank, int size, double timeout) : rank_(rank), size_(size), timeout_(timeout) {}
  /// Wrong arguments break nothing: probe() looks at its own with this.
  void check_message(int from, int tag) const {
    if (from != any_rank) check_rank(from, "sender");
    if (tag < 0 || tag > most_tag_)
      throw CommError(cat("rank ", rank_, ": no tag ", tag, ": they go from 0 to ", most_tag_));
  }
  void limit_tags(int most) { most_tag_ = most; }

 private:
  void check_rank(int r, const char* what) const {
    if (r < 0 || r >= size_)
      throw CommError(cat("rank ", rank_, ": no ", what, " ", r, " among ", size_, " ranks"));
  }

  int rank_, size_, most_tag_ = std::numeric_limits<int>::max();
  double timeout_;
};

}  // namespace crema
