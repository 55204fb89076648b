// SPDX-License-Identifier: Apache-2.0
// The device code, for the one nvcc unit of a program: every
// launcher of cuda/launchers.hpp, for float and double.
//
// Sums are taken in an order that depends on sizes alone: equal bits from run to run on one kind of device.
#pragma once

#include <cfloat>

#include "crema/cuda/launchers.hpp"

namespace crema::inline CREMA_ABI::cuda {

namespace kernel {

inline constexpr int threads = 256;
inline unsigned blocks(std::int64_t n) {
  const std::int64_t b = (n + threads - 1) / threads;
  return static_cast<unsigned>(b < 1 ? 1 : b > 65535 ? 65535 : b);
}

/// body(i) for every i in [0, n): a grid-stride loop.
template <class F>
__global__ void each(std::int64_t n, F body) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < n;
       i += std::int64_t{gridDim.x} * blockDim.x)
    body(i);
}
template <class F>
void for_each(cudaStream_t s, std::int64_t n, F body) {
  if (n > 0) each<<<blocks(n), threads, 0, s>>>(n, body);
}

/// The block's total of `v` by op, in every thread; a tree over thread numbers.
template <class Op>
__device__ double block_reduce(double v, Op op) {
  __shared__ double part[threads];
  __syncthreads();
  part[threadIdx.x] = v;
  for (int half = threads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) part[threadIdx.x] = op(part[threadIdx.x], part[threadIdx.x + half]);
  }
  __syncthreads();
  return part[0];
}
struct Sum {
  __device__ double operator()(double a, double b) const { return a + b; }
};
struct Max {
  __device__ double operator()(double a, double b) const { return a > b ? a : b; }
};
struct Min {
  __device__ double operator()(double a, double b) const { return a < b ? a : b; }
};

/// out[block] = the sum of f over a fixed piece of [0, n).
template <class F>
__global__ void partial_sums(std::int64_t n, F f, double* out) {
  double total = 0;
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < n;
       i += std::int64_t{gridDim.x} * blockDim.x)
    total += f(i);
  total = block_reduce(total, Sum{});
  if (threadIdx.x == 0) out[blockIdx.x] = total;
}
template <class F>
void sum(cudaStream_t s, std::int64_t n, F f, double* partial) {
  partial_sums<<<reduction_blocks, threads, 0, s>>>(n, f, partial + 1);
  const double* const parts = partial + 1;
  partial_sums<<<1, threads, 0, s>>>(
      reduction_blocks, [parts] __device__(std::int64_t i) { return parts[i]; }, partial);
}

/// One block for each position: maximum, sum of exponentials, quotient.
template <class T>
__global__ void softmax(Classes c, const T* x, T* y) {
  for (std::int64_t i = blockIdx.x; i < c.outer * c.inner; i += gridDim.x) {
    const std::int64_t at = i / c.inner * c.classes * c.inner + i % c.inner;
    double most = -DBL_MAX;
    for (std::int64_t k = threadIdx.x; k < c.classes; k += threads)
      most = Max{}(most, static_cast<double>(x[at + k * c.inner]));
    const T top = static_cast<T>(block_reduce(most, Max{}));
    double total = 0;
    for (std::int64_t k = threadIdx.x; k < c.classes; k += threads)
      total += y[at + k * c.inner] = exp(x[at + k * c.inner] - top);
    const T sum = static_cast<T>(block_reduce(total, Sum{}));
    for (std::int64_t k = threadIdx.x; k < c.classes; k += threads) y[at + k * c.inner] /= sum;
  }
}

template <class T>
__global__ void softmax_loss(Classes c, const T* p, const T* labels, bool has_ignore, int ignore, double* out) {
  double sum = 0, count = 0, bad = DBL_MAX;
  for (std::int64_t i = threadIdx.x; i < c.outer * c.inner; i += threads) {
    const T value = labels[i];
    const std::int64_t label = static_cast<std::int64_t>(value);
    if (has_ignore && label == ignore) continue;
    if (label < 0 || label >= c.classes || static_cast<T>(label) != value) {
      bad = Min{}(bad, static_cast<double>(i));
      continue;
    }
    const double q = static_cast<double>(p[(i / c.inner * c.classes + label) * c.inner + i % c.inner]);
    sum -= log(q > FLT_MIN ? q : static_cast<double>(FLT_MIN));
    count += 1;
  }
  sum = block_reduce(sum, Sum{}), count = block_reduce(count, Sum{}), bad = block_reduce(bad, Min{});
  if (threadIdx.x == 0) out[0] = sum, out[1] = count, out[2] = bad < DBL_MAX ? bad : -1;
}

}  // namespace kernel

template <class T>
void launch_fill(cudaStream_t s, std::int64_t n, T value, T* y) {
  kernel::for_each(s, n, [=] __device__(std::int64_t i) { y[i] = value; });
}
template <class T>
void launch_axpby(cudaStream_t s, std::int64_t n, T a, const T* x, T b, T* y) {
  kernel::for_each(s, n, [=] __device__(std::int64_t i) { y[i] = b == T(0) ? a * x[i] : a * x[i] + b * y[i]; });
}
template <class T>
void launch_relu_forward(cudaStream_t s, std::int64_t n, const T* x, T* y, T slope) {
  kernel::for_each(s, n, [=] __device__(std::int64_t i) { y[i] = x[i] > T(0) ? x[i] : slope * x[i]; });
}
template <class T>
void launch_relu_backward(cudaStream_t s, std::int64_t n, const T* value, const T* dy, T* dx, T slope, bool add) {
  kernel::for_each(s, n, [=] __device__(std::int64_t i) {
    const T d = value[i] > T(0) ? dy[i] : slope * dy[i];
    dx[i] = add ? dx[i] + d : d;
  });
}
template <class T>
void launch_add_bias(cudaStream_t s, std::int64_t rows, std::int64_t columns, const T* bias, T* y) {
  kernel::for_each(s, rows * columns, [=] __device__(std::int64_t i) { y[i] += bias[i % columns]; });
}
template <class T>
void launch_column_sums(cudaStream_t s, std::int64_t rows, std::int64_t columns, const T* x, T* sum, bool add) {
  kernel::for_each(s, columns, [=] __device__(std::int64_t j) {
    T total = add ? sum[j] : T(0);
    for (std::int64_t i = 0; i < rows; ++i) total += x[i * columns + j];
    sum[j] = total;
  });
}
template <class T>
void launch_softmax_forward(cudaStream_t s, const Classes& c, const T* x, T* y) {
  const std::int64_t n = c.outer * c.inner;
  if (n > 0) kernel::softmax<<<static_cast<unsigned>(n < 65535 ? n : 65535), kernel::threads, 0, s>>>(c, x, y);
}
template <class T>
void launch_softmax_loss(cudaStream_t s, const Classes& c, const T* p, const T* labels, bool has_ignore, int ignore,
                         double* out) {
  kernel::softmax_loss<<<1, kernel::threads, 0, s>>>(c, p, labels, has_ignore, ignore, out);
}
template <class T>
void launch_softmax_loss_backward(cudaStream_t s, const Classes& c, const T* p, const T* labels, bool has_ignore,
                                  int ignore, T scale, T* dx, bool add) {
  kernel::for_each(s, c.outer * c.classes * c.inner, [=] __device__(std::int64_t i) {
    const std::int64_t position = i / (c.classes * c.inner) * c.inner + i % c.inner, k = i / c.inner % c.classes;
    const std::int64_t label = static_cast<std::int64_t>(labels[position]);
    const T d = has_ignore && label == ignore ? T(0) : scale * (p[i] - (k == label ? T(1) : T(0)));
    dx[i] = add ? dx[i] + d : d;
  });
}
template <class T>
void launch_sgd(cudaStream_t s, const SgdRule<T>& rule, std::int64_t n, T* w, const T* g, T* h) {
  const SgdRule<T> r = rule;
  kernel::for_each(s, n, [=] __device__(std::int64_t i) {
    const T sign = w[i] > T(0) ? T(1) : w[i] < T(0) ? T(-1) : T(0);
    const T d = r.scale * g[i] + r.decay * (r.l1 ? sign : w[i]);
    h[i] = r.momentum * h[i] + r.rate * d;
    w[i] -= h[i];
  });
}
template <class T>
void launch_sum_of_squares(cudaStream_t s, std::int64_t n, const T* x, double* partial) {
  kernel::sum(s, n, [=] __device__(std::int64_t i) { return static_cast<double>(x[i]) * static_cast<double>(x[i]); }, partial);
}
template <class T>
void launch_count_not_finite(cudaStream_t s, std::int64_t n, const T* x, double* partial) {
  kernel::sum(s, n, [=] __device__(std::int64_t i) { return isfinite(x[i]) ? 0.0 : 1.0; }, partial);
}

#define CREMA_INSTANTIATE(T)                                                                                   \
  template void launch_fill(cudaStream_t, std::int64_t, T, T*);                                                \
  template void launch_axpby(cudaStream_t, std::int64_t, T, const T*, T, T*);                                  \
  template void launch_relu_forward(cudaStream_t, std::int64_t, const T*, T*, T);                              \
  template void launch_relu_backward(cudaStream_t, std::int64_t, const T*, const T*, T*, T, bool);             \
  template void launch_add_bias(cudaStream_t, std::int64_t, std::int64_t, const T*, T*);                       \
  template void launch_column_sums(cudaStream_t, std::int64_t, std::int64_t, const T*, T*, bool);              \
  template void launch_softmax_forward(cudaStream_t, const Classes&, const T*, T*);                            \
  template void launch_softmax_loss(cudaStream_t, const Classes&, const T*, const T*, bool, int, double*);     \
  template void launch_softmax_loss_backward(cudaStream_t, const Classes&, const T*, const T*, bool, int, T,   \
                                             T*, bool);                                                        \
  template void launch_sgd(cudaStream_t, const SgdRule<T>&, std::int64_t, T*, const T*, T*);                   \
  template void launch_sum_of_squares(cudaStream_t, std::int64_t, const T*, double*);                          \
  template void launch_count_not_finite(cudaStream_t, std::int64_t, const T*, double*);
CREMA_INSTANTIATE(float)
CREMA_INSTANTIATE(double)
#undef CREMA_INSTANTIATE

}  // namespace crema::inline CREMA_ABI::cuda
