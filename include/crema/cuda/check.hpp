// SPDX-License-Identifier: Apache-2.0
// Errors of CUDA and cuBLAS as CudaError, with the call, what CUDA says, and the likely fix.
//
//   check(cudaSetDevice(0), "cudaSetDevice(0)");
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include <string_view>

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
  if (s == CUBLAS_STATUS_SUCCESS) return;
  std::string_view hint;
  if (s == CUBLAS_STATUS_ALLOC_FAILED) hint = ": the device is out of memory; take a smaller batch_size";
  throw CudaError(cat(call, ": ", std::string_view(cublasGetStatusString(s)), hint));
}

}  // namespace crema::inline CREMA_ABI::cuda
