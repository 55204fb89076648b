// SPDX-License-Identifier: Apache-2.0
// TcpMessages: tagged messages between ranks, on links of their own, so that they and the collectives cannot wait
// for each other.
//
// A short message is sent at once, and kept by the receiver until it is asked for. For a long one a request goes
// first, and the numbers when the receiver has a place for them: they are never copied, and no length from the
// wire takes memory beyond `most_held` bytes for each link. A message to oneself is copied.
#pragma once

#include <deque>
#include <map>
#include <vector>

#include "crema/comm/tcp_frame.hpp"

namespace crema::inline CREMA_ABI::detail {

class TcpMessages {
 public:
  static constexpr std::size_t short_bytes = 64 << 10, most_held = std::size_t{256} << 20;

  TcpMessages(int rank, std::vector<Descriptor> links)
      : rank_(static_cast<std::size_t>(rank)), links_(std::move(links)), ends_(links_.size()) {}

  void start(const Operation& op, std::uint64_t ticket) {
    const auto peer = static_cast<std::size_t>(op.peer);
    End& end = ends_[peer];
    if (op.kind == Operation::receive)
      return start_receive(end, peer, {op, ticket});  // what has come is there
    if (!end.lost.empty()) throw LostRank{op.peer, end.lost};
    Frame f = frame_of(op, ++last_id_);
    f.kind = bytes_of(f) <= short_bytes || peer == rank_ ? whole : request;
    if (peer == rank_) {
      take_own(f, op);
      finished_.push_back(ticket);
    } else if (f.kind == whole) {
      end.out.push_back({f, static_cast<const std::byte*>(op.data), bytes_of(f), ticket});
    } else {
      end.sends[f.id] = {op, ticket};
      end.out.push_back({f});
    }
  }
  /// Sends and receives what goes without waiting; whether anything went. Throws LostRank and CommError.
  bool advance() {
    bool moved = false;
    for (std::size_t q = 0; q < ends_.size(); ++q) {
      if (q == rank_) continue;
      if (ends_[q].lost.empty() && push(q)) moved = true;
      if (ends_[q].lost.empty() && pull(q)) moved = true;
      if (!ends_[q].lost.empty() && ends_[q].needed()) throw LostRank{static_cast<int>(q), ends_[q].lost};
    }
    return moved;
  }
  void add_polls(std::vector<pollfd>& fds) const {
    for (std::size_t q = 0; q < ends_.size(); ++q)
      if (q != rank_ && ends_[q].lost.empty())
        fds.push_back(
            {links_[q].get(), static_cast<short>(ends_[q].out.empty() ? POLLIN : POLLIN | POLLOUT), 0});
  }
  /// Tickets that are done since the last call.
  std::vector<std::uint64_t> take_finished() { return std::exchange(finished_, {}); }

  /// The first message that has come from that rank, or from any, with that tag.
  std::optional<Incoming> probe(int from, int tag) const {
    const Arrival* first = nullptr;
    std::size_t sender = 0;
    for (std::size_t q = 0; q < ends_.size(); ++q) {
      if (from != any_rank && q != static_cast<std::size_t>(from)) continue;
      for (const Arrival& a : ends_[q].arrivals) {
        if (a.frame.peer != tag) continue;
        if (!first || a.order < first->order) first = &a, sender = q;
        break;
      }
    }
    if (!first) return {};
    return Incoming{static_cast<int>(sender), tag, bytes_of(first->frame)};
  }

 private:
  enum Kind : std::uint8_t { whole, request, grant, body };

  struct Started {
    Operation op;
    std::uint64_t ticket = 0;
  };
  struct Outgoing {
    Frame frame;
    const std::byte* data = nullptr;
    std::size_t bytes = 0;
    std::uint64_t ticket = 0;
    std::size_t moved = 0;  // the frame's bytes included
  };
  struct Arrival {
    Frame frame;
    std::vector<std::byte> data;
    std::uint64_t order = 0;
  };
  struct End {         // of one link
    std::string lost;  // why, if it is
    std::deque<Outgoing> out;
    Frame frame;  // that is coming
    std::size_t moved = 0;
    std::byte* into = nullptr;     // its numbers' place
    std::vector<std::byte> kept;   // or, while nobody has asked for them, here
    std::uint64_t ticket = 0;      // of the receive they are for
    std::deque<Arrival> arrivals;  // not received yet
    std::size_t held = 0;          // bytes of these
    std::deque<Started> receives;  // without a message yet
    std::map<std::uint32_t, Started> sends, granted;

    bool needed() const {
      return !out.empty() || ticket != 0 || !receives.empty() || !sends.empty() || !granted.empty();
    }
  };

  static std::size_t bytes_of(const Frame& f) { return f.count * size_of(static_cast<ElementType>(f.type)); }
  static std::size_t cost(const Frame& f) { return 256 + (f.kind == whole ? bytes_of(f) : 0); }

  void start_receive(End& end, std::size_t from, Started r) {
    for (auto a = end.arrivals.begin(); a != end.arrivals.end(); ++a) {
      if (a->frame.peer != r.op.tag) continue;
      check(a->frame, from, r.op);
      if (a->frame.kind == request) {
        allow(end, a->frame, r);
      } else {
        if (!a->data.empty()) std::memcpy(r.op.data, a->data.data(), a->data.size());
        finished_.push_back(r.ticket);
      }
      end.held -= cost(a->frame);
      end.arrivals.erase(a);
      return;
    }
    end.receives.push_back(std::move(r));
  }
  void take_own(const Frame& f, const Operation& op) {
    End& end = ends_[rank_];
    if (const auto r = receiver(end, f); r != end.receives.end()) {
      check(f, rank_, r->op);
      if (op.count > 0) std::memmove(r->op.data, op.data, bytes_of(f));
      finished_.push_back(r->ticket);
      end.receives.erase(r);
      return;
    }
    const auto* bytes = static_cast<const std::byte*>(op.data);
    keep(end, rank_, f, std::vector<std::byte>(bytes, bytes + bytes_of(f)));
  }
  static std::deque<Started>::iterator receiver(End& end, const Frame& f) {
    auto r = end.receives.begin();
    while (r != end.receives.end() && r->op.tag != f.peer) ++r;
    return r;
  }
  void check(const Frame& f, std::size_t from, const Operation& r) const {
    if (f.count == r.count && f.type == static_cast<std::uint8_t>(r.type)) return;
    throw CommError(cat("rank ", from, " sent ", elements_text(f.count, f.type), " with tag ", f.peer,
                        ", rank ", rank_, " receives ",
                        elements_text(r.count, static_cast<std::uint8_t>(r.type))));
  }
  void keep(End& end, std::size_t from, const Frame& f, std::vector<std::byte> data) {
    make_room(end, from, f);
    end.held += cost(f);
    end.arrivals.push_back({f, std::move(data), ++arrived_});
  }
  void make_room(const End& end, std::size_t from, const Frame& f) const {
    if (end.held + cost(f) > most_held)
      throw CommError(cat("rank ", from, " sent ", end.held >> 20, " MB of messages that rank ", rank_,
                          " does not receive"));
  }
  void allow(End& end, const Frame& asked, Started r) {
    Frame f = asked;
    f.kind = grant;
    end.granted[f.id] = std::move(r);
    end.out.push_back({f});
  }

  bool push(std::size_t q) {
    End& end = ends_[q];
    bool moved = false;
    while (!end.out.empty()) {
      Outgoing& o = end.out.front();
      const std::size_t of_frame = std::min(o.moved, sizeof(Frame)), of_data = o.moved - of_frame;
      const iovec parts[2] = {
          {reinterpret_cast<std::byte*>(&o.frame) + of_frame, sizeof(Frame) - of_frame},
          {const_cast<std::byte*>(o.data) + of_data, std::min(o.bytes - of_data, most_at_once)}};
      const ssize_t sent = send_some(links_[q].get(), parts, o.bytes > of_data ? 2 : 1);
      if (sent < 0) end.lost = lost_text(errno);
      if (sent <= 0) return moved;
      moved = true;
      o.moved += static_cast<std::size_t>(sent);
      if (o.moved < sizeof(Frame) + o.bytes) return true;
      if (o.ticket != 0) finished_.push_back(o.ticket);
      end.out.pop_front();
    }
    return moved;
  }
  bool pull(std::size_t q) {
    End& end = ends_[q];
    const bool framed = end.moved >= sizeof(Frame);
    const std::size_t of_data = framed ? end.moved - sizeof(Frame) : 0;
    const iovec part =
        framed ? iovec{end.into + of_data, bytes_of(end.frame) - of_data}
               : iovec{reinterpret_cast<std::byte*>(&end.frame) + end.moved, sizeof(Frame) - end.moved};
    const ssize_t got = receive_some(links_[q].get(), &part, 1);
    if (got < 0) end.lost = lost_text(errno);
    if (got <= 0) return false;
    end.moved += static_cast<std::size_t>(got);
    if (!framed && end.moved == sizeof(Frame)) begin(end, q);
    if (end.moved >= sizeof(Frame) &&
        end.moved == sizeof(Frame) + (carries(end.frame) ? bytes_of(end.frame) : 0))
      finish(end, q);
    return true;
  }
  static bool carries(const Frame& f) { return f.kind == whole || f.kind == body; }
  /// A frame is there: find its numbers' place, after everything it says has been checked.
  void begin(End& end, std::size_t q) {
    const Frame& f = end.frame;
    if (f.magic != Frame::expected_magic || f.kind > body || f.type > 5 || f.count > std::uint64_t{1} << 56 ||
        (f.kind == whole && bytes_of(f) > short_bytes))
      throw CommError(cat("rank ", q, " sent bytes that are no message"));
    end.into = nullptr;
    if (f.kind == body) {
      const auto r = end.granted.find(f.id);
      if (r == end.granted.end() || r->second.op.count != f.count ||
          frame_of(r->second.op, f.id).type != f.type)
        throw CommError(cat("rank ", q, " sent a message that nobody asked for"));
      end.into = static_cast<std::byte*>(r->second.op.data);
      end.ticket = r->second.ticket;
    } else if (f.kind == whole) {
      if (const auto r = receiver(end, f); r != end.receives.end()) {
        check(f, q, r->op);
        end.into = static_cast<std::byte*>(r->op.data);
        end.ticket = r->ticket;
        end.receives.erase(r);
      } else {
        make_room(end, q, f);
        end.kept.resize(bytes_of(f));
        end.into = end.kept.data();
      }
    }
  }
  /// The whole message is there.
  void finish(End& end, std::size_t q) {
    const Frame f = end.frame;
    end.moved = 0;
    if (f.kind == grant) {
      const auto s = end.sends.find(f.id);
      if (s == end.sends.end()) throw CommError(cat("rank ", q, " asked for a message that nobody sends"));
      Frame out = frame_of(s->second.op, f.id);
      out.kind = body;
      end.out.push_back(
          {out, static_cast<const std::byte*>(s->second.op.data), bytes_of(out), s->second.ticket});
      end.sends.erase(s);
      return;
    }
    if (const std::uint64_t ticket = std::exchange(end.ticket, 0)) {
      if (f.kind == body) end.granted.erase(f.id);
      finished_.push_back(ticket);
      return;
    }
    const auto r = receiver(end, f);  // it may have been started meanwhile
    if (r == end.receives.end()) return keep(end, q, f, std::exchange(end.kept, {}));
    const Started started = std::move(*r);
    end.receives.erase(r);
    check(f, q, started.op);
    if (f.kind == request) return allow(end, f, started);
    if (!end.kept.empty()) std::memcpy(started.op.data, end.kept.data(), end.kept.size());
    end.kept.clear();
    finished_.push_back(started.ticket);
  }

  static constexpr std::size_t most_at_once = 256 << 10;
  std::size_t rank_;
  std::vector<Descriptor> links_;
  std::vector<End> ends_;
  std::vector<std::uint64_t> finished_;
  std::uint64_t arrived_ = 0;
  std::uint32_t last_id_ = 0;
};

}  // namespace crema
