// SPDX-License-Identifier: Apache-2.0
// Handles of CUDA's libraries that close themselves. Device memory is a Buffer<T, Cuda>.
//
//   Stream stream = make_stream();   Blas blas = make_blas();
#pragma once

#include <utility>

#include "crema/cuda/check.hpp"

namespace crema::inline CREMA_ABI::cuda {

/// A handle that is closed by `destroy`. Movable, not copyable.
template <class H, auto destroy>
class Handle {
 public:
  Handle() = default;
  explicit Handle(H h) : handle_(h) {}
  Handle(Handle&& o) noexcept : handle_(std::exchange(o.handle_, H{})) {}
  Handle& operator=(Handle&& o) noexcept {
    std::swap(handle_, o.handle_);
    return *this;
  }
  ~Handle() {
    if (handle_ != H{}) destroy(handle_);
  }
  H get() const noexcept { return handle_; }

 private:
  H handle_{};
};
using Stream = Handle<cudaStream_t, cudaStreamDestroy>;
using Blas = Handle<cublasHandle_t, cublasDestroy>;

/// A stream that does not wait for the default one. Throws CudaError, as make_blas.
inline Stream make_stream() {
  cudaStream_t s;
  check(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  return Stream(s);
}
inline Blas make_blas() {
  cublasHandle_t h;
  check(cublasCreate(&h), "cublasCreate");
  return Blas(h);
}

}  // namespace crema::inline CREMA_ABI::cuda
