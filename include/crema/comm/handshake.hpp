// SPDX-License-Identifier: Apache-2.0
// The proof, on both sides of a new connection, that the other knows the job's secret. The secret itself never
// travels, and nothing that a stranger sends is looked at beyond its length.
//
//   listener -> dialer   challenge: magic, nonce                                       40 bytes
//   dialer -> listener   claim (kind, from, to, size), nonce, HMAC(secret, all that)   80 bytes
//   listener -> dialer   HMAC(secret, the same, its own role)                          32 bytes
//
// It keeps out who does not know the secret; it does not encrypt what follows, nor protect it from somebody who
// can change packets on the way.
#pragma once

#include <sys/random.h>

#include <deque>
#include <optional>
#include <vector>

#include "crema/comm/socket.hpp"
#include "crema/core/sha256.hpp"

namespace crema::inline CREMA_ABI {

/// 32 hexadecimal digits of 16 random bytes: a new secret for a new world.
inline std::string make_secret() {
  unsigned char bytes[16];
  if (::getrandom(bytes, sizeof bytes, 0) != static_cast<ssize_t>(sizeof bytes))
    throw CommError("the system gives no random bytes");
  std::string secret;
  for (const unsigned char b : bytes) {
    secret += "0123456789abcdef"[b >> 4];
    secret += "0123456789abcdef"[b & 15];
  }
  return secret;
}

namespace detail {

enum class LinkKind : std::uint32_t { control, collectives, messages, pmi };

/// What a dialer says of itself; worth something once its proof has been checked.
struct Claim {
  LinkKind kind = LinkKind::control;
  std::uint32_t from = 0, to = 0, size = 0;
};

inline constexpr std::string_view handshake_magic = "crema w1";
inline constexpr std::size_t nonce_bytes = 32, claim_bytes = 16, digest_bytes = 32;
inline constexpr std::size_t challenge_bytes = handshake_magic.size() + nonce_bytes;
inline constexpr std::size_t answer_bytes = claim_bytes + nonce_bytes + digest_bytes;

inline void put_u32(std::string& out, std::uint32_t v) {
  for (int i = 0; i < 4; ++i) out += static_cast<char>(v >> (8 * i));
}
inline std::uint32_t get_u32(std::string_view bytes) {
  std::uint32_t v = 0;
  for (std::size_t i = 0; i < 4; ++i) v |= std::uint32_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  return v;
}
inline std::string encode(const Claim& c) {
  std::string out;
  for (const std::uint32_t v : {static_cast<std::uint32_t>(c.kind), c.from, c.to, c.size}) put_u32(out, v);
  return out;
}
inline Claim decode_claim(std::string_view bytes) {
  return {static_cast<LinkKind>(get_u32(bytes)), get_u32(bytes.substr(4)), get_u32(bytes.substr(8)),
          get_u32(bytes.substr(12))};
}

inline std::string make_nonce() {
  std::string nonce(nonce_bytes, '\0');
  if (::getrandom(nonce.data(), nonce.size(), 0) != static_cast<ssize_t>(nonce.size()))
    throw CommError("the system gives no random bytes");
  return nonce;
}
inline std::string proof(std::string_view secret, std::string_view role, std::string_view challenge,
                         std::string_view claim_and_nonce) {
  const Digest d = hmac_sha256(secret, cat("crema ", role, ":", challenge, claim_and_nonce));
  return std::string(reinterpret_cast<const char*>(d.data()), d.size());
}
inline bool proves(std::string_view theirs, std::string_view ours) {
  Digest a{}, b{};
  std::memcpy(a.data(), theirs.data(), a.size());
  std::memcpy(b.data(), ours.data(), b.size());
  return same_digest(a, b);
}

/// Reads exactly n bytes. Throws CommError when the deadline passes, `wake` is set or the peer leaves.
inline std::string receive_exactly(int fd, std::size_t n, const Deadline& deadline, const Wake* wake,
                                   const std::string& peer) {
  std::string bytes(n, '\0');
  for (std::size_t at = 0; at < n;) {
    const iovec part{bytes.data() + at, n - at};
    const ssize_t got = receive_some(fd, &part, 1);
    if (got < 0) throw CommError(cat(peer, ": ", lost_text(errno)));
    at += static_cast<std::size_t>(got);
    if (got == 0 && !wait_for(fd, POLLIN, deadline, wake))
      throw CommError(cat(peer, " did not answer within ", deadline.seconds(), " s"));
  }
  return bytes;
}
inline void send_exactly(int fd, std::string_view bytes, const Deadline& deadline, const Wake* wake,
                         const std::string& peer) {
  while (!bytes.empty()) {
    const iovec part{const_cast<char*>(bytes.data()), bytes.size()};
    const ssize_t sent = send_some(fd, &part, 1);
    if (sent < 0) throw CommError(cat(peer, ": ", lost_text(errno)));
    bytes.remove_prefix(static_cast<std::size_t>(sent));
    if (sent == 0 && !wait_for(fd, POLLOUT, deadline, wake))
      throw CommError(cat(peer, " took nothing for ", deadline.seconds(), " s"));
  }
}

/// Connects and proves the secret, both ways. Tries again until the deadline while nobody is there.
inline Descriptor dial(const std::string& address, std::string_view secret, const Claim& claim,
                       const Deadline& deadline, const Wake* wake) {
  const std::string peer = cat("rank ", claim.to, " (", address, ")");
  for (;;) {
    Descriptor s = connect_to(address, deadline, wake, peer);
    std::string challenge;
    try {
      challenge = receive_exactly(s.get(), challenge_bytes, deadline, wake, peer);
    } catch (const CommError&) {  // it closed before it spoke: it was about to go, or is too busy
      if (deadline.over() || wait_for(wake ? wake->fd() : -1, POLLIN, Deadline(0.05), nullptr)) throw;
      continue;
    }
    if (challenge.compare(0, handshake_magic.size(), handshake_magic) != 0)
      throw CommError(cat(peer, " is no world of crema: is the address right?"));
    const std::string mine = encode(claim) + make_nonce();
    std::string theirs;
    try {
      send_exactly(s.get(), mine + proof(secret, "dialer", challenge, mine), deadline, wake, peer);
      theirs = receive_exactly(s.get(), digest_bytes, deadline, wake, peer);
    } catch (CommError& e) {
      if (deadline.over() || (wake && wait_for(wake->fd(), POLLIN, Deadline(0), nullptr))) throw;
      throw CommError(
          cat(peer, " turned this process away: is the secret the same on both sides? (", e.message(), ")"));
    }
    if (!proves(theirs, proof(secret, "listener", challenge, mine)))
      throw CommError(cat(peer, " does not know the secret"));
    return s;
  }
}

/// A connection whose dialer has proved the secret.
struct Guest {
  Claim claim;
  Descriptor socket;
  std::string address;
};

/// Lets in who proves the secret, many at a time, so that a slow stranger delays nobody. A stranger is dropped at
/// its first wrong byte, after `patience` seconds, or, oldest first, when more than `waiting` are at the door.
class Doorman {
 public:
  static constexpr std::size_t waiting = 256;

  Doorman(int listener, std::string secret, double patience)
      : listener_(listener), secret_(std::move(secret)), patience_(patience) {}

  /// The next guest; none when the deadline has passed or `wake` is set.
  std::optional<Guest> next(const Deadline& deadline, const Wake* wake) {
    for (;;) {
      if (!proved_.empty()) {
        Guest g = std::move(proved_.front());
        proved_.pop_front();
        return g;
      }
      if (deadline.over()) return {};
      std::vector<pollfd> fds{{listener_, POLLIN, 0}, {wake ? wake->fd() : -1, POLLIN, 0}};
      for (const Visitor& v : visitors_) fds.push_back({v.socket.get(), POLLIN, 0});
      double left = deadline.left();
      if (!visitors_.empty()) left = std::min(left, visitors_.front().deadline.left());
      poll_for(fds.data(), fds.size(), left);
      if (fds[1].revents != 0) return {};
      hear_all(fds);
      if (fds[0].revents != 0) accept_all();
    }
  }
  /// How many were dropped without a proof.
  std::size_t strangers() const { return strangers_; }

 private:
  struct Visitor {
    Descriptor socket;
    Deadline deadline;
    std::string challenge, heard = {};
    bool gone = false;
  };

  void accept_all() {
    for (int i = 0; i < 64; ++i) {  // and then to those who wait
      Descriptor s(::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!s.open()) {
        const bool full = errno == EMFILE || errno == ENFILE;  // else none is there, or it has gone already
        if (full && !visitors_.empty()) visitors_.pop_front(), ++strangers_;
        if (full) poll_for(nullptr, 0, 0.01);
        return;
      }
      tune(s.get());
      if (visitors_.size() >= waiting) {
        visitors_.pop_front();
        ++strangers_;
      }
      std::string challenge = cat(handshake_magic, make_nonce());
      const iovec part{challenge.data(), challenge.size()};
      if (send_some(s.get(), &part, 1) == static_cast<ssize_t>(challenge.size()))
        visitors_.push_back({std::move(s), Deadline(patience_), std::move(challenge)});
    }
  }
  void hear_all(const std::vector<pollfd>& fds) {
    for (std::size_t i = 0; i < visitors_.size(); ++i) {
      Visitor& v = visitors_[i];
      if (fds[i + 2].revents != 0) hear(v);
      if (!v.gone && v.deadline.over()) v.gone = true, ++strangers_;
    }
    std::erase_if(visitors_, [](const Visitor& v) { return v.gone; });
  }
  void hear(Visitor& v) {
    char bytes[answer_bytes];
    const iovec part{bytes, answer_bytes - v.heard.size()};
    const ssize_t got = receive_some(v.socket.get(), &part, 1);
    if (got == 0) return;
    if (got > 0) v.heard.append(bytes, static_cast<std::size_t>(got));
    if (got > 0 && v.heard.size() < answer_bytes) return;
    v.gone = true;
    const std::string_view mine(v.heard.data(), got > 0 ? answer_bytes - digest_bytes : 0);
    if (got < 0 ||
        !proves(std::string_view(v.heard).substr(mine.size()), proof(secret_, "dialer", v.challenge, mine))) {
      ++strangers_;
      return;
    }
    std::string answer = proof(secret_, "listener", v.challenge, mine);
    const iovec out{answer.data(), answer.size()};
    if (send_some(v.socket.get(), &out, 1) != static_cast<ssize_t>(answer.size())) return;
    std::string address = peer_address(v.socket.get());
    proved_.push_back({decode_claim(mine), std::move(v.socket), std::move(address)});
  }

  int listener_;
  std::string secret_;
  double patience_;
  std::deque<Visitor> visitors_;  // the oldest first
  std::deque<Guest> proved_;
  std::size_t strangers_ = 0;
};

}  // namespace detail
}  // namespace crema
