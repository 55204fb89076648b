// SPDX-License-Identifier: Apache-2.0
// Errors of CUDA and cuBLAS as CudaError that names the call; handles that close themselves.
//
//   check(cudaSetDevice(0), "cudaSetDevice(0)");
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include <utility>

#include "crema/core/error.hpp"
#include "crema/core/text.hpp"

namespace crema::inline CREMA_ABI::cuda {

/// Throws CudaError unless the call succeeded, std::bad_alloc never: out of memory says so in words.
inline void check(cudaError_t e, std::string_view call) {
  if (e == cudaSuccess) return;
  cudaGetLastError();  // clears it: the next call starts clean
  std::string_view hint;
  if (e == cudaErrorMemoryAllocation) hint = ": the device is out of memory; take a smaller batch_size";
  if (e == cudaErrorInsufficientDriver) hint = ": update the driver, or build with an older toolkit";
  if (e == cudaErrorNoKernelImageForDevice)
    hint = ": add this device's architecture to CMAKE_CUDA_ARCHITECTURES";
  throw CudaError(cat(call, ": ", std::string_view(cudaGetErrorString(e)), hint));
}
inline void check(cublasStatus_t s, std::string_view call) {
  if (s != CUBLAS_STATUS_SUCCESS)
    throw CudaError(cat(call, ": ", std::string_view(cublasGetStatusString(s))));
}

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

}  // namespace crema::inline CREMA_ABI::cuda
