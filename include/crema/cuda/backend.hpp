// SPDX-License-Identifier: Apache-2.0
// class Cuda: a backend that owns one device's stream and handles. What the ops in cuda/*.hpp include;
// programs include cuda/cuda.hpp.
//
//   if (Cuda::devices() > 0) { Cuda cuda({.device = 0}); Net<float, Cuda> net(cuda, ...); }
//
// All work goes to one stream, in order; copy_in and copy_out wait for it. One Cuda is used by one thread at
// a time. Blobs are canonical (N,C,H,W).
#pragma once

#include <cstddef>
#include <type_traits>

#include "crema/core/tensor.hpp"
#include "crema/cuda/handle.hpp"

namespace crema::inline CREMA_ABI {

struct CudaOptions {
  int device = 0;
  bool tf32 = false;  // matrix products of floats with 10-bit mantissas on the tensor cores
};

class Cuda {
 public:
  static constexpr std::string_view name = "cuda";
  static constexpr bool has_native_order = false;
  static constexpr bool ops_in_regions = false;

  /// How many devices this process can use; 0 without a driver.
  static int devices() noexcept {
    int n = 0;
    if (cudaGetDeviceCount(&n) == cudaSuccess) return n;
    cudaGetLastError();
    return 0;
  }

  /// Throws CudaError when there is no such device.
  explicit Cuda(const CudaOptions& o = {}) : device_(o.device) {
    if (o.device < 0 || o.device >= devices())
      throw CudaError(cat("no CUDA device ", o.device, ": there are ", devices(),
                          "; check the driver and CUDA_VISIBLE_DEVICES"));
    use();
    stream_ = cuda::make_stream(), blas_ = cuda::make_blas();
    cuda::check(cublasSetStream(blas(), stream()), "cublasSetStream");
    cuda::check(cublasSetMathMode(blas(), o.tf32 ? CUBLAS_TF32_TENSOR_OP_MATH : CUBLAS_DEFAULT_MATH),
                "cublasSetMathMode");
    scratch_ = {*this, scratch_size};
  }
  Cuda(const Cuda&) = delete;
  Cuda& operator=(const Cuda&) = delete;

  /// Device memory, zeroed. Throws CudaError.
  void* allocate(std::size_t bytes) {
    if (bytes == 0) return nullptr;
    use();
    void* p = nullptr;
    cuda::check(cudaMalloc(&p, bytes), "cudaMalloc");
    cuda::check(cudaMemsetAsync(p, 0, bytes, stream()), "cudaMemsetAsync");
    return p;
  }
  void deallocate(void* p, std::size_t) noexcept {
    if (p) cudaFree(p);
  }
  void copy_in(void* dst, const void* src, std::size_t bytes) {
    copy(dst, src, bytes, cudaMemcpyHostToDevice);
  }
  void copy_out(void* dst, const void* src, std::size_t bytes) {
    copy(dst, src, bytes, cudaMemcpyDeviceToHost);
  }
  void synchronize() {
    use();
    cuda::check(cudaStreamSynchronize(stream()), "cudaStreamSynchronize");
  }

  int device() const noexcept { return device_; }
  cudaStream_t stream() const noexcept { return stream_.get(); }
  cublasHandle_t blas() const noexcept { return blas_.get(); }
  /// Makes this object's device the calling thread's: kernels go there.
  void use() { cuda::check(cudaSetDevice(device_), "cudaSetDevice"); }
  /// Calls a launcher of cuda/launchers.hpp with this object's stream. Throws CudaError with `what` when the
  /// device does not take the kernel; what goes wrong inside a kernel comes up in the next copy or
  /// synchronize().
  template <class... P>
  void launch(std::string_view what, void (*launcher)(cudaStream_t, P...), std::type_identity_t<P>... p) {
    use();
    launcher(stream(), p...);
    cuda::check(cudaGetLastError(), what);
  }

  /// Device memory for the partial sums of the op that is running.
  static constexpr std::size_t scratch_size = 1024;
  double* scratch() const noexcept { return scratch_.data(); }

 private:
  void copy(void* dst, const void* src, std::size_t bytes, cudaMemcpyKind kind) {
    if (bytes == 0) return;
    use();
    cuda::check(cudaMemcpyAsync(dst, src, bytes, kind, stream()), "cudaMemcpyAsync");
    synchronize();
  }

  int device_;
  cuda::Stream stream_;
  cuda::Blas blas_;
  Buffer<double, Cuda> scratch_;
};

}  // namespace crema
