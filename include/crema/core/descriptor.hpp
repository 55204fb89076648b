// SPDX-License-Identifier: Apache-2.0
// Descriptor: an open file, socket or event of the system that closes itself.
#pragma once

#include <unistd.h>

#include <utility>

#include "crema/core/config.hpp"

namespace crema::inline CREMA_ABI::detail {

class Descriptor {
 public:
  Descriptor() = default;  // none
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& o) noexcept {
    std::swap(fd_, o.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }

  int get() const noexcept { return fd_; }
  bool open() const noexcept { return fd_ >= 0; }
  /// Closes now; false if the system reports a late error.
  bool close() { return ::close(std::exchange(fd_, -1)) == 0; }
  /// Gives it away: the caller closes it.
  int release() noexcept { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

}  // namespace crema
