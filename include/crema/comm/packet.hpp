// SPDX-License-Identifier: Apache-2.0
// Packets: the short messages of a world's control connections. A length, a type, a body; a length is checked
// before memory is taken for it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "crema/comm/handshake.hpp"

namespace crema::inline CREMA_ABI::detail {

struct Packet {
  enum Type : std::uint32_t {
    hello,    // version, own address, fingerprints
    refused,  // why: this process is not one of the world
    waiting,  // for which ranks rank 0 waits
    table,    // all addresses
    ready,    // own links stand
    go,       // all links stand
    beat,     // step
    answer,   // to a beat
    fail,     // why: a rank tells rank 0
    abort,    // why: rank 0 tells all
    bye,
  };
  Type type = beat;
  std::string body = {};
};

inline void put_u64(std::string& out, std::uint64_t v) {
  put_u32(out, static_cast<std::uint32_t>(v));
  put_u32(out, static_cast<std::uint32_t>(v >> 32));
}
inline void put_text(std::string& out, std::string_view text) {
  put_u32(out, static_cast<std::uint32_t>(text.size()));
  out += text;
}

/// Reads a body; everything is checked against its end.
class BodyReader {
 public:
  BodyReader(std::string_view body, const std::string& peer) : left_(body), peer_(peer) {}
  std::uint32_t u32() { return get_u32(take(4)); }
  std::uint64_t u64() {
    const std::uint64_t low = u32();
    return low | std::uint64_t{u32()} << 32;
  }
  std::string text() { return std::string(take(u32())); }

 private:
  std::string_view take(std::size_t n) {
    if (n > left_.size()) throw CommError(cat(peer_, " sent a packet that ends too early"));
    const std::string_view out = left_.substr(0, n);
    left_.remove_prefix(n);
    return out;
  }

  std::string_view left_;
  const std::string& peer_;
};

/// One control connection: packets out and in, without waiting unless it is asked to.
class PacketLink {
 public:
  static constexpr std::size_t max_packet = 1 << 20;

  PacketLink() = default;
  PacketLink(Descriptor socket, std::string peer) : socket_(std::move(socket)), peer_(std::move(peer)) {}

  const std::string& peer() const { return peer_; }
  int fd() const { return socket_.get(); }
  bool open() const { return socket_.open(); }
  void close() { socket_ = Descriptor(); }
  short events() const { return static_cast<short>(out_.empty() ? POLLIN : POLLIN | POLLOUT); }

  void put(const Packet& p) {
    put_u32(out_, static_cast<std::uint32_t>(p.body.size()));
    put_u32(out_, p.type);
    out_ += p.body;
  }
  /// Sends what can be sent. False when the connection is lost (errno, 0: closed).
  bool flush() {
    while (!out_.empty()) {
      const iovec part{out_.data(), out_.size()};
      const ssize_t n = send_some(socket_.get(), &part, 1);
      if (n < 0) return false;
      if (n == 0) break;
      out_.erase(0, static_cast<std::size_t>(n));
    }
    return true;
  }
  bool flushed() const { return out_.empty(); }
  /// Reads what has come. False when the connection is lost (errno, 0: closed); what came before can be popped.
  bool fill() {
    char bytes[4096];
    while (in_.size() <= max_packet) {
      const iovec part{bytes, sizeof bytes};
      const ssize_t n = receive_some(socket_.get(), &part, 1);
      if (n < 0) return false;
      in_.append(bytes, static_cast<std::size_t>(n));
      if (n < static_cast<ssize_t>(sizeof bytes)) break;
    }
    return true;
  }
  /// The next whole packet that has come.
  std::optional<Packet> pop() {
    if (in_.size() < 8) return {};
    const std::uint32_t n = get_u32(in_), type = get_u32(std::string_view(in_).substr(4));
    if (n > max_packet || type > Packet::bye) throw CommError(cat(peer_, " sent what is no packet"));
    if (in_.size() < 8 + std::size_t{n}) return {};
    Packet p{static_cast<Packet::Type>(type), in_.substr(8, n)};
    in_.erase(0, 8 + std::size_t{n});
    return p;
  }
  /// Sends all of it, or throws CommError at the deadline.
  void send(const Packet& p, const Deadline& deadline) {
    put(p);
    send_exactly(socket_.get(), out_, deadline, nullptr, peer_);
    out_.clear();
  }
  /// Waits for the next packet; none at the deadline. Throws CommError when the connection is lost.
  std::optional<Packet> receive(const Deadline& deadline) {
    for (;;) {
      if (std::optional<Packet> p = pop()) return p;
      if (!wait_for(socket_.get(), POLLIN, deadline, nullptr)) return {};
      if (fill()) continue;
      const int error = errno;
      if (std::optional<Packet> p = pop()) return p;
      throw CommError(cat(peer_, " was lost: ", lost_text(error)));
    }
  }

 private:
  Descriptor socket_;
  std::string peer_, in_, out_;
};

}  // namespace crema
