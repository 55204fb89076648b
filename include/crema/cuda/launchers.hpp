// SPDX-License-Identifier: Apache-2.0
// The device code's doors: declared here for g++, defined in cuda/kernels.cuh for the program's one nvcc unit
// (crema_add_cuda_kernels in CMake). A program without that unit fails to link, with the launcher's name.
//
// Each starts one or two kernels on the stream and returns. Pointers are device memory; T is float or double.
#pragma once

#include <cuda_runtime_api.h>

#include "crema/core/op_settings.hpp"

namespace crema::inline CREMA_ABI::cuda {

/// y = value.
template <class T>
void launch_fill(cudaStream_t, std::int64_t n, T value, T* y);
/// y = a x + b y; y is not read where b is 0.
template <class T>
void launch_axpby(cudaStream_t, std::int64_t n, T a, const T* x, T b, T* y);
template <class T>
void launch_relu_forward(cudaStream_t, std::int64_t n, const T* x, T* y, T slope);
template <class T>
void launch_relu_backward(cudaStream_t, std::int64_t n, const T* value, const T* dy, T* dx, T slope,
                          bool add);

/// y, rows x columns, += bias for each row.
template <class T>
void launch_add_bias(cudaStream_t, std::int64_t rows, std::int64_t columns, const T* bias, T* y);
/// sum (+)= the sums of the columns of x, in the order of the rows.
template <class T>
void launch_column_sums(cudaStream_t, std::int64_t rows, std::int64_t columns, const T* x, T* sum, bool add);

/// Blobs of outer x classes x inner; labels of outer x inner.
struct Classes {
  std::int64_t outer, classes, inner;
};
template <class T>
void launch_softmax_forward(cudaStream_t, const Classes&, const T* x, T* y);
/// out: the sum of -log p[label], how many labels counted, the position of the first bad label or -1.
template <class T>
void launch_softmax_loss(cudaStream_t, const Classes&, const T* p, const T* labels, bool has_ignore,
                         int ignore, double* out);
template <class T>
void launch_softmax_loss_backward(cudaStream_t, const Classes&, const T* p, const T* labels, bool has_ignore,
                                  int ignore, T scale, T* dx, bool add);

template <class T>
void launch_sgd(cudaStream_t, const SgdRule<T>&, std::int64_t n, T* w, const T* g, T* h);
/// partial[0] = the sum of squares, or how many elements are
/// not finite; partial has reduction_blocks + 1 elements.
inline constexpr int reduction_blocks = 512;
template <class T>
void launch_sum_of_squares(cudaStream_t, std::int64_t n, const T* x, double* partial);
template <class T>
void launch_count_not_finite(cudaStream_t, std::int64_t n, const T* x, double* partial);

}  // namespace crema::inline CREMA_ABI::cuda
