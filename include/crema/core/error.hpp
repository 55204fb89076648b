// SPDX-License-Identifier: Apache-2.0
// Errors: one exception type whose text says what is wrong, where in the input, and what to do about it.
//
//   throw SpecError(cat("kernel_size must be positive, not ", k));
//   try { ... } catch (Error& e) { e.add_context(cat("layer '", name, "' (Convolution)")); throw; }
//
// what() is the message, then one line "  in ..." per context frame, innermost first. The library throws, it
// never exits, aborts or prints. Subclasses name what the caller can do about it, not where it was thrown.
#pragma once

#include <exception>
#include <string>
#include <utility>

#include "crema/core/config.hpp"

namespace crema::inline CREMA_ABI {

class Error : public std::exception {
 public:
  explicit Error(std::string message);

  /// Adds a frame: "layer 'conv1' (Convolution)", "lenet.prototxt:12:3". Call it while rethrowing with
  /// `throw;`.
  void add_context(const std::string& frame);

  const char* what() const noexcept override { return what_.c_str(); }
  /// The message without its frames.
  const std::string& message() const noexcept { return message_; }

 private:
  std::string message_, what_;
};

#if CREMA_BODIES
CREMA_INLINE Error::Error(std::string message) : message_(std::move(message)), what_(message_) {}
CREMA_INLINE void Error::add_context(const std::string& frame) {
  what_ += "\n  in ";
  what_ += frame;
}
#endif

/// Two shapes that do not fit each other, or a shape that overflows.
class ShapeError : public Error {
 public:
  using Error::Error;
};
/// A net, layer or solver that cannot be built as it is described: change the description.
class SpecError : public Error {
 public:
  using Error::Error;
};
/// Text or bytes that do not follow their format; carries "file:line:column: " at the front of the message.
class ParseError : public Error {
 public:
  using Error::Error;
};
/// A file or a sample that is missing, truncated or out of range.
class DataError : public Error {
 public:
  using Error::Error;
};
/// A peer that failed, or did not answer in time.
class CommError : public Error {
 public:
  using Error::Error;
};
/// A CUDA, cuBLAS, cuDNN or NCCL call that failed.
class CudaError : public Error {
 public:
  using Error::Error;
};
/// The host asked to stop (core/cancel.hpp).
class Cancelled : public Error {
 public:
  using Error::Error;
};

}  // namespace crema
