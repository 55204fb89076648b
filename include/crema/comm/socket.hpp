// SPDX-License-Identifier: Apache-2.0
// TCP sockets that never block for ever: every wait has a Deadline, and a Wake can end it early.
//
//   Listener listener("127.0.0.1:0");                 // bound and listening; listener.address() has the port
//   detail::Descriptor s = detail::connect_to("127.0.0.1:4711", Deadline(5), nullptr, "rank 0");
//
// All descriptors are non-blocking and closed on exec; nothing raises SIGPIPE. Every failure is a CommError that
// names the peer and the system's reason. Host names are resolved by the system, which keeps no deadline: give
// numbers where that matters.
#pragma once

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <string_view>

#include "crema/core/clock.hpp"
#include "crema/core/descriptor.hpp"
#include "crema/core/error.hpp"
#include "crema/core/text.hpp"

namespace crema::inline CREMA_ABI {

/// A moment that waits end at.
class Deadline {
 public:
  explicit Deadline(double seconds) : seconds_(seconds), at_(monotonic_seconds() + seconds) {}
  double seconds() const { return seconds_; }  // as it was asked for
  double left() const { return std::max(0.0, at_ - monotonic_seconds()); }
  bool over() const { return monotonic_seconds() >= at_; }

 private:
  double seconds_, at_;
};

namespace detail {

inline std::string system_text(int error) { return std::generic_category().message(error); }

/// What poll() takes for that many seconds: at least one millisecond while any time is left.
inline int milliseconds(double seconds) {
  return seconds <= 0 ? 0 : static_cast<int>(std::min(seconds * 1000 + 1, 1e9));
}

/// An event that one thread sets and others see in their poll(); it stays set until it is cleared.
class Wake {
 public:
  Wake() : fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (!fd_.open()) throw CommError(cat("no event descriptor: ", system_text(errno)));
  }
  int fd() const { return fd_.get(); }
  void set() noexcept {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(fd_.get(), &one, sizeof one);
  }
  void clear() noexcept {
    std::uint64_t count;
    [[maybe_unused]] const ssize_t n = ::read(fd_.get(), &count, sizeof count);
  }

 private:
  Descriptor fd_;
};

/// poll() that starts again when a signal interrupts it.
inline int poll_for(pollfd* fds, std::size_t n, double seconds) {
  const Deadline deadline(seconds);
  for (;;) {
    const int ready = ::poll(fds, static_cast<nfds_t>(n), milliseconds(deadline.left()));
    if (ready >= 0 || errno != EINTR) return ready;
  }
}

/// Waits for events on fd. False when the deadline has passed or `wake` (if any) is set.
inline bool wait_for(int fd, short events, const Deadline& deadline, const Wake* wake) {
  pollfd p[2] = {{fd, events, 0}, {wake ? wake->fd() : -1, POLLIN, 0}};
  poll_for(p, 2, deadline.left());
  return p[1].revents == 0 && p[0].revents != 0;
}

/// Calls done() until it is true: again and again for `eager` seconds, then with naps of an eighth of the time that
/// has passed, 0.2 ms at most. False when the deadline has passed or, in a nap, the descriptor `wake` (-1: none) is set.
template <class F>
bool wait_with_naps(F&& done, const Deadline& deadline, int wake, double eager = 2e-4) {
  const double begin = monotonic_seconds();
  for (;;) {
    if (done()) return true;
    if (deadline.over()) return false;
    const double waited = monotonic_seconds() - begin;
    if (waited < eager) {
      sched_yield();
      continue;
    }
    pollfd p{wake, POLLIN, 0};
    const timespec nap{0, static_cast<long>(std::min(2e5, waited / 8 * 1e9))};
    if (::ppoll(&p, 1, &nap, nullptr) > 0) return false;
  }
}

/// Resolved addresses, freed with their owner.
class Resolved {
 public:
  Resolved(std::string_view address, bool passive) {
    const std::size_t colon = address.rfind(':');
    std::string host(address.substr(0, colon == std::string_view::npos ? 0 : colon));
    std::uint16_t port = 0;
    if (host.empty() || !parse_number(address.substr(colon + 1), port))
      throw CommError(cat("'", address, "' is no address: write host:port, or [host]:port for IPv6"));
    if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0);
    const int error = ::getaddrinfo(host.c_str(), cat(port).c_str(), &hints, &list_);
    if (error != 0) throw CommError(cat("host '", host, "' is not known: ", ::gai_strerror(error)));
  }
  Resolved(const Resolved&) = delete;
  ~Resolved() { ::freeaddrinfo(list_); }
  const addrinfo* first() const { return list_; }

 private:
  addrinfo* list_ = nullptr;
};

/// "127.0.0.1:4711", "[::1]:4711".
inline std::string address_text(const sockaddr_storage& a, socklen_t length) {
  char host[NI_MAXHOST], port[NI_MAXSERV];
  if (::getnameinfo(reinterpret_cast<const sockaddr*>(&a), length, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return "unknown address";
  return a.ss_family == AF_INET6 ? cat("[", host, "]:", port) : cat(host, ":", port);
}
inline std::string local_address(int fd) {
  sockaddr_storage a{};
  socklen_t length = sizeof a;
  return ::getsockname(fd, reinterpret_cast<sockaddr*>(&a), &length) == 0 ? address_text(a, length) : "";
}
inline std::string peer_address(int fd) {
  sockaddr_storage a{};
  socklen_t length = sizeof a;
  return ::getpeername(fd, reinterpret_cast<sockaddr*>(&a), &length) == 0 ? address_text(a, length) : "";
}
inline std::string host_of(std::string_view address) {
  return std::string(address.substr(0, address.rfind(':')));
}

/// Small messages leave at once; a peer whose machine has gone is noticed by the system too, in a minute at most.
inline void tune(int fd) {
  const auto set = [fd](int level, int option, int value) {
    ::setsockopt(fd, level, option, &value, sizeof value);
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 15);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 5);
  set(IPPROTO_TCP, TCP_KEEPCNT, 6);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, 60'000);
}

/// One attempt to connect. None, and the reason in `why`, when nobody answers there.
inline Descriptor try_connect(const addrinfo& to, const Deadline& deadline, const Wake* wake,
                              std::string& why) {
  Descriptor s(::socket(to.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!s.open()) throw CommError(cat("no socket: ", system_text(errno)));
  int error = 0;
  if (::connect(s.get(), to.ai_addr, to.ai_addrlen) != 0) {
    error = errno;
    if (error == EINPROGRESS || error == EINTR) {
      socklen_t length = sizeof error;
      if (!wait_for(s.get(), POLLOUT, deadline, wake))
        error = ETIMEDOUT;
      else if (::getsockopt(s.get(), SOL_SOCKET, SO_ERROR, &error, &length) != 0)
        error = errno;
    }
  }
  if (error == 0 && local_address(s.get()) == peer_address(s.get()))
    error = ECONNREFUSED;  // nobody listens: the system has joined this socket to itself
  if (error == 0) {
    tune(s.get());
    return s;
  }
  why = system_text(error);
  return {};
}

/// Connects, again and again until the deadline: the peer may not listen yet.
inline Descriptor connect_to(const std::string& address, const Deadline& deadline, const Wake* wake,
                             const std::string& peer) {
  const Resolved resolved(address, false);
  std::string why = "no answer";
  for (double pause = 0.01;; pause = std::min(0.2, pause * 1.5)) {
    for (const addrinfo* a = resolved.first(); a != nullptr; a = a->ai_next) {
      Descriptor s = try_connect(*a, deadline, wake, why);
      if (s.open()) return s;
    }
    if (deadline.over() ||
        wait_for(wake ? wake->fd() : -1, POLLIN, Deadline(std::min(pause, deadline.left())), nullptr))
      throw CommError(
          cat(peer, " could not be reached at ", address, " within ", deadline.seconds(), " s (", why, ")"));
  }
}

/// Sends what the system takes now. 0 when it takes nothing now; -1, with errno, when the connection is lost.
inline ssize_t send_some(int fd, const iovec* parts, std::size_t n) {
  msghdr m{};
  m.msg_iov = const_cast<iovec*>(parts);
  m.msg_iovlen = n;
  for (;;) {
    const ssize_t sent = ::sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) return sent;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
    if (errno != EINTR) return -1;
  }
}
/// Receives what has come. 0 when nothing has come yet; -1 when the connection is lost, with errno, which is 0
/// when the peer has closed it.
inline ssize_t receive_some(int fd, const iovec* parts, std::size_t n) {
  msghdr m{};
  m.msg_iov = const_cast<iovec*>(parts);
  m.msg_iovlen = n;
  for (;;) {
    const ssize_t got = ::recvmsg(fd, &m, MSG_DONTWAIT);
    if (got > 0) return got;
    if (got == 0) {
      errno = 0;
      return -1;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
    if (errno != EINTR) return -1;
  }
}
inline std::string lost_text(int error) {
  return error == 0 ? std::string("its connection was closed")
                    : cat("its connection failed: ", system_text(error));
}

}  // namespace detail

/// A socket that listens on one address, from the moment it is made: port 0 takes a free one, and nobody can
/// take it between its publication and its use.
class Listener {
 public:
  explicit Listener(const std::string& address) {
    const detail::Resolved resolved(address, true);
    const addrinfo& a = *resolved.first();
    fd_ = detail::Descriptor(::socket(a.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const int on = 1;
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (!fd_.open() || ::bind(fd_.get(), a.ai_addr, a.ai_addrlen) != 0 || ::listen(fd_.get(), 512) != 0)
      throw CommError(cat("cannot listen on ", address, ": ", detail::system_text(errno)));
  }
  int fd() const { return fd_.get(); }
  /// The address with the real port.
  std::string address() const { return detail::local_address(fd_.get()); }

 private:
  detail::Descriptor fd_;
};

}  // namespace crema
