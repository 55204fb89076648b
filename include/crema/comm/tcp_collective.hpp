// SPDX-License-Identifier: Apache-2.0
// TcpCollective: one collective over the links to all other ranks, moved on by advance() as far as it goes.
//
// Between any two ranks, each way, goes one frame and then a stream of bytes whose length both know:
//
//   all_reduce, small   everybody's data to everybody; each adds them up
//   reduce_scatter      to each rank its part; the owner adds, in pieces that stay in cache
//   all_reduce          reduce_scatter, then the owner's part to all, piece by piece as it is finished
//   all_gather          each rank's part to all
//   broadcast           root's data to all; when large, to each its part, which that rank passes on to the others; all
//                       others' frames to all: who has another root in mind is found out
//
// THE ORDER: element i of a sum is ((x_0 + x_1) + x_2) + ..., by rank, whatever the size and the part. The same
// bits on every rank, in every run, for any count and any way of the above. A rank sends 2 n (p - 1) / p elements
// in an all_reduce, what a ring sends, but in 2 steps and not 2 (p - 1), and bfloat16 stays bfloat16 on the way.
#pragma once

#include <vector>

#include "crema/comm/arithmetic.hpp"
#include "crema/comm/tcp_frame.hpp"

namespace crema::inline CREMA_ABI::detail {

class TcpCollective {
 public:
  static constexpr std::size_t small_bytes = 32 << 10;  // all that a rank gets by the first way
  static constexpr std::size_t piece_bytes = 128 << 10, most_at_once = 256 << 10;

  TcpCollective(int rank, const std::vector<Descriptor>& links, const Operation& op, std::uint32_t id)
      : rank_(static_cast<std::size_t>(rank)),
        links_(links),
        op_(op),
        frame_(frame_of(op, id)),
        width_(size_of(op.type)),
        data_(static_cast<std::byte*>(op.data)),
        in_(links.size()),
        out_(links.size()) {
    for (std::size_t q = 0; q < size(); ++q) {
      out_[q].frame = frame_;
      in_[q].used = out_[q].used = q != rank_;
    }
    if (size() == 1) return;
    switch (op.kind) {
      case Operation::broadcast:
        plan_broadcast();
        break;
      case Operation::all_reduce:
        plan_all_reduce();
        break;
      case Operation::reduce_scatter:
        plan_reduction();
        break;
      case Operation::all_gather:
        plan_gather(nullptr);
        break;
      default:
        break;  // a barrier: frames alone
    }
  }
  TcpCollective(const TcpCollective&) = delete;

  const Operation& operation() const { return op_; }
  std::string text() const { return cat(call_text(frame_), " (collective ", frame_.id, ")"); }

  /// Sends and receives what goes without waiting; whether anything went. Throws LostRank and CommError.
  bool advance() {
    bool moved = false;
    for (std::size_t k = 1; k < size(); ++k) {  // each rank begins with another
      const std::size_t q = (rank_ + k) % size();
      moved |= push(q);
      moved |= pull(q);
    }
    if (!moved && !complete_) complete_ = finish_if_all_moved();
    return moved;
  }
  bool complete() const { return complete_; }
  /// What advance() waits for.
  void add_polls(std::vector<pollfd>& fds) const {
    for (std::size_t q = 0; q < size(); ++q) {
      short events = 0;
      if (in_[q].used && !in_[q].done() && readable(q)) events |= POLLIN;
      if (out_[q].used && !out_[q].done() && sendable(out_[q])) events |= POLLOUT;
      if (events != 0) fds.push_back({links_[q].get(), events, 0});
    }
  }
  /// "rank 1", "rank 1, 3": who has not yet begun, or else whose bytes are missing.
  std::string waits_for() const {
    std::string begun, all;
    for (std::size_t q = 0; q < size(); ++q) {
      const std::string name = cat(all.empty() ? "rank " : ", ", q);
      if (in_[q].used && in_[q].frame_moved < sizeof(Frame)) begun += cat(begun.empty() ? "rank " : ", ", q);
      if ((in_[q].used && !in_[q].done() && readable(q)) || (out_[q].used && !out_[q].done())) all += name;
    }
    return begun.empty() ? all : begun;
  }

 private:
  struct Segment {
    std::byte* data = nullptr;
    std::size_t bytes = 0;
    std::size_t* counter = nullptr;  // out: how many may go (all if none); in: counts what has come
    bool reduce = false;
  };
  struct Stream {
    bool used = false;
    Frame frame = {};
    std::size_t frame_moved = 0, at = 0, moved = 0;
    std::vector<Segment> segments = {};

    bool done() const { return frame_moved == sizeof(Frame) && at == segments.size(); }
    void skip_finished() {
      while (at < segments.size() && moved == segments[at].bytes) ++at, moved = 0;
    }
  };

  std::size_t size() const { return links_.size(); }
  Segment part(std::size_t q, std::size_t* counter = nullptr) const {
    const Part p = part_of(op_.count, static_cast<int>(size()), static_cast<int>(q));
    return {data_ + p.first * width_, p.count * width_, counter};
  }
  Segment whole() const { return {data_, op_.count * width_}; }

  void plan_broadcast() {
    const auto root = static_cast<std::size_t>(op_.peer);
    const bool direct = size() == 2 || op_.count * width_ <= small_bytes;
    for (std::size_t q = 0; q < size(); ++q) {
      if (rank_ == root)
        out_[q].segments = direct ? std::vector{whole()} : std::vector{part(q), part(root)};
      else if (q == root)
        in_[q].segments = direct ? std::vector{whole()} : std::vector{part(rank_, &ready_), part(root)};
      else if (!direct)
        out_[q].segments = {part(rank_, &ready_)}, in_[q].segments = {part(q)};
    }
  }
  void plan_all_reduce() {
    if (op_.count * width_ * (size() - 1) > small_bytes) {
      plan_reduction();
      plan_gather(&ready_);
      return;
    }
    all_.resize(whole().bytes * size());
    arithmetic_ = &arithmetic(op_.type, op_.reduction);
    for (std::size_t q = 0; q < size(); ++q) {
      out_[q].segments = {whole()};
      in_[q].segments = {{all_.data() + q * whole().bytes, whole().bytes}};
    }
  }
  void plan_reduction() {
    const Segment own = part(rank_);
    arithmetic_ = &arithmetic(op_.type, op_.reduction);
    lane_.most = std::min(piece_bytes / width_, own.bytes / width_);
    lane_.incoming.resize(lane_.most * width_);
    lane_.sum.resize(lane_.most * arithmetic_->accumulator);
    for (std::size_t q = 0; q < size(); ++q) {
      out_[q].segments.push_back(part(q));
      in_[q].segments.push_back({nullptr, own.bytes, nullptr, true});
    }
    begin_piece();
  }
  /// `ready`: how much of this rank's part may go.
  void plan_gather(std::size_t* ready) {
    for (std::size_t q = 0; q < size(); ++q) {
      out_[q].segments.push_back(part(rank_, ready));
      in_[q].segments.push_back(part(q));
    }
  }

  static std::size_t sendable_bytes(const Stream& s) {
    if (s.at == s.segments.size()) return 0;
    const Segment& g = s.segments[s.at];
    return (g.counter ? *g.counter : g.bytes) - s.moved;
  }
  static bool sendable(const Stream& s) { return s.frame_moved < sizeof(Frame) || sendable_bytes(s) > 0; }
  bool push(std::size_t q) {
    Stream& s = out_[q];
    if (!s.used) return false;
    s.skip_finished();
    if (s.done() || !sendable(s)) return false;
    const std::size_t payload = std::min(sendable_bytes(s), most_at_once);
    const iovec parts[2] = {
        {reinterpret_cast<std::byte*>(&s.frame) + s.frame_moved, sizeof(Frame) - s.frame_moved},
        {payload > 0 ? s.segments[s.at].data + s.moved : nullptr, payload}};
    const ssize_t sent = send_some(links_[q].get(), parts, 2);
    if (sent < 0) throw LostRank{static_cast<int>(q), lost_text(errno)};
    account(s, static_cast<std::size_t>(sent));
    s.skip_finished();
    return sent > 0;
  }
  /// Accounts for n bytes: first the frame's, then the segment's. The latter are returned.
  static std::size_t account(Stream& s, std::size_t n) {
    const std::size_t of_frame = std::min(n, sizeof(Frame) - s.frame_moved);
    s.frame_moved += of_frame;
    s.moved += n - of_frame;
    return n - of_frame;
  }

  /// Whether the next bytes from q have a place: all summands of a piece come in the order of the ranks.
  bool readable(std::size_t q) const {
    const Stream& s = in_[q];
    return s.frame_moved < sizeof(Frame) || s.at == s.segments.size() || !s.segments[s.at].reduce ||
           lane_.summand == q;
  }
  bool pull(std::size_t q) {
    Stream& s = in_[q];
    if (!s.used) return false;
    s.skip_finished();
    if (s.done() || !readable(q)) return false;
    iovec parts[2] = {{reinterpret_cast<std::byte*>(&s.frame) + s.frame_moved, sizeof(Frame) - s.frame_moved},
                      {}};
    const bool reduces = s.at < s.segments.size() && s.segments[s.at].reduce;
    if (reduces && lane_.summand == q)
      parts[1] = {lane_.incoming.data() + lane_.got, lane_.count * width_ - lane_.got};
    else if (!reduces && s.at < s.segments.size())
      parts[1] = {s.segments[s.at].data + s.moved, s.segments[s.at].bytes - s.moved};
    const bool unchecked = s.frame_moved < sizeof(Frame);
    const ssize_t got = receive_some(links_[q].get(), parts, 2);
    if (got < 0) throw LostRank{static_cast<int>(q), lost_text(errno)};
    const std::size_t bytes = account(s, static_cast<std::size_t>(got));
    if (unchecked && s.frame_moved == sizeof(Frame)) check(q);
    if (bytes > 0 && s.segments[s.at].counter) *s.segments[s.at].counter += bytes;
    if (bytes > 0 && reduces) {
      lane_.got += bytes;
      if (lane_.got == lane_.count * width_) add_summand(lane_.incoming.data());
    }
    s.skip_finished();
    return got > 0;
  }
  void check(std::size_t q) const {
    const Frame& f = in_[q].frame;
    if (f == frame_) return;
    if (f.magic != Frame::expected_magic) throw CommError(cat("rank ", q, " sent bytes that are no frame"));
    throw CommError(cat("rank ", q, " called ", call_text(f), " as collective ", f.id, ", rank ", rank_,
                        " called ", call_text(frame_), " as collective ", frame_.id,
                        ": all ranks have to start the same collectives in the same order"));
  }

  // The piece of this rank's part that is being added up.
  void begin_piece() {
    const std::size_t left = part(rank_).bytes - ready_;
    lane_.count = std::min(lane_.most, left / width_);
    lane_.summand = lane_.got = 0;
    if (rank_ == 0 && lane_.count > 0) add_summand(part(rank_).data + ready_);
  }
  void add_summand(const std::byte* x) {
    std::byte* const own = part(rank_).data + ready_;
    for (;;) {
      add(lane_.summand, own, lane_.sum.data(), x, lane_.count);
      lane_.got = 0;
      if (++lane_.summand != rank_) break;
      x = own;
    }
    if (lane_.summand < size()) return;
    ready_ += lane_.count * width_;
    begin_piece();
  }
  void add(std::size_t q, std::byte* out, std::byte* sum, const std::byte* x, std::size_t n) const {
    if (q == 0)
      arithmetic_->first(sum, x, n);
    else if (q + 1 < size())
      arithmetic_->next(sum, x, n);
    else
      arithmetic_->last(out, nullptr, sum, x, n);
  }

  bool finish_if_all_moved() {
    for (std::size_t q = 0; q < size(); ++q)
      if ((in_[q].used && !in_[q].done()) || (out_[q].used && !out_[q].done())) return false;
    if (all_.empty()) return true;
    std::vector<std::byte> sum(op_.count * arithmetic_->accumulator);
    for (std::size_t q = 0; q < size(); ++q)
      add(q, data_, sum.data(), q == rank_ ? data_ : all_.data() + q * whole().bytes, op_.count);
    return true;
  }

  const std::size_t rank_;
  const std::vector<Descriptor>& links_;
  const Operation op_;
  const Frame frame_;
  const std::size_t width_;
  std::byte* const data_;
  std::vector<Stream> in_, out_;
  const Arithmetic* arithmetic_ = nullptr;
  std::size_t ready_ = 0;       // bytes of this rank's part that are final
  std::vector<std::byte> all_;  // the small way: everybody's data
  struct {
    std::size_t most = 0, count = 0, summand = 0, got = 0;
    std::vector<std::byte> incoming, sum;
  } lane_;
  bool complete_ = false;
};

}  // namespace crema
