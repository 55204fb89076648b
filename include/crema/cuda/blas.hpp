// SPDX-License-Identifier: Apache-2.0
// BLAS on CUDA: cuBLAS behind the signature that the CPU's gemm has.
#pragma once

#include <algorithm>

#include "crema/core/op_settings.hpp"
#include "crema/cuda/backend.hpp"

namespace crema::inline CREMA_ABI {

/// C = alpha op(A) op(B) + beta C, row-major; A is m x k after op, B k x n, C m x n and not read where beta
/// is 0. Throws ShapeError for sizes that cannot be, CudaError.
template <class T>
void gemm(Cuda& cuda, Transpose trans_a, Transpose trans_b, std::int64_t m, std::int64_t n, std::int64_t k,
          std::type_identity_t<T> alpha, const T* a, std::int64_t lda, const T* b, std::int64_t ldb,
          std::type_identity_t<T> beta, T* c, std::int64_t ldc) {
  const bool ta = trans_a == Transpose::yes, tb = trans_b == Transpose::yes;
  detail::check_gemm(m, k, lda, ta, "A");
  detail::check_gemm(k, n, ldb, tb, "B");
  detail::check_gemm(m, n, ldc, false, "C");
  if (m == 0 || n == 0) return;
  lda = std::max<std::int64_t>(lda, 1), ldb = std::max<std::int64_t>(ldb, 1);  // cuBLAS's least, where k is 0
  const auto op = [](bool transposed) { return transposed ? CUBLAS_OP_T : CUBLAS_OP_N; };
  // cuBLAS counts in columns: a row-major C is its transpose, op(B)^T op(A)^T.
  if constexpr (std::same_as<T, float>)
    crema::cuda::check(
        cublasSgemm_64(cuda.blas(), op(tb), op(ta), n, m, k, &alpha, b, ldb, a, lda, &beta, c, ldc),
        "cublasSgemm");
  else
    crema::cuda::check(
        cublasDgemm_64(cuda.blas(), op(tb), op(ta), n, m, k, &alpha, b, ldb, a, lda, &beta, c, ldc),
        "cublasDgemm");
}

}  // namespace crema
