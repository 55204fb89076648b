// SPDX-License-Identifier: Apache-2.0
// The CUDA backend: class Cuda and its ops, the same names and signatures as on the CPU.
//
//   Cuda cuda;                                          // device 0
//   Net<float, Cuda> net(cuda, spec, all_layers<float, Cuda>());
//
// Host code, compiled by g++; the kernels come from the program's one nvcc unit (docs/cuda.md). The layers
// that are there are those which layers.def says; another one is a SpecError from the registry.
#pragma once

#include <type_traits>

#include "crema/core/label.hpp"
#include "crema/cuda/blas.hpp"
#include "crema/cuda/launchers.hpp"

namespace crema::inline CREMA_ABI {

// --- element-wise

template <class T>
void fill(Cuda& b, std::span<T> y, std::type_identity_t<T> value) {
  b.launch("fill", cuda::launch_fill<T>, static_cast<std::int64_t>(y.size()), value, y.data());
}
template <class T>
void copy(Cuda& b, const View<const T, Cuda>& src, const View<std::type_identity_t<T>, Cuda>& dst,
          bool add = false) {
  b.launch("axpby", cuda::launch_axpby<T>, dst.shape.size(), T(1), src.data, add ? T(1) : T(0), dst.data);
}
/// Blobs are canonical here: a copy. Throws ShapeError for other orders.
template <class T>
void convert(Cuda& b, const View<const T, Cuda>& src, const View<std::type_identity_t<T>, Cuda>& dst,
             ConvertOptions o = {}) {
  if (src.shape != dst.shape || src.layout.order != Order::canonical || dst.layout.order != Order::canonical)
    throw ShapeError(cat("convert on CUDA from shape ", src.shape, " to ", dst.shape,
                         ": canonical blobs of one shape only"));
  copy(b, src, dst, o.add);
}
template <class T>
void relu_forward(Cuda& b, const View<const T, Cuda>& bottom, const View<std::type_identity_t<T>, Cuda>& top,
                  std::type_identity_t<T> slope) {
  b.launch("relu_forward", cuda::launch_relu_forward<T>, top.shape.size(), bottom.data, top.data, slope);
}
template <class T>
void relu_backward(Cuda& b, const View<const T, Cuda>& value,
                   const View<const std::type_identity_t<T>, Cuda>& top_diff,
                   const View<std::type_identity_t<T>, Cuda>& bottom_diff, std::type_identity_t<T> slope,
                   bool add) {
  b.launch("relu_backward", cuda::launch_relu_backward<T>, bottom_diff.shape.size(), value.data,
           top_diff.data, bottom_diff.data, slope, add);
}

// --- fully connected

inline std::int64_t inner_product_scratch(Cuda&, const Shape&, std::int64_t, const Layout&) { return 0; }

template <class T>
void inner_product_forward(Cuda& b, const View<const T, Cuda>& x, const T* w, bool transposed, const T* bias,
                           const View<T, Cuda>& y) {
  const std::int64_t n = x.shape[0], outputs = y.shape.count(1), depth = x.shape.count(1);
  gemm<T>(b, Transpose::no, transposed ? Transpose::no : Transpose::yes, n, outputs, depth, 1, x.data, depth,
          w, transposed ? outputs : depth, 0, y.data, outputs);
  if (bias) b.launch("add_bias", cuda::launch_add_bias<T>, n, outputs, bias, y.data);
}
template <class T>
void inner_product_backward_data(Cuda& b, const View<const T, Cuda>& dy, const T* w, bool transposed,
                                 const View<T, Cuda>& dx, bool add) {
  const std::int64_t n = dx.shape[0], outputs = dy.shape.count(1), depth = dx.shape.count(1);
  gemm<T>(b, Transpose::no, transposed ? Transpose::yes : Transpose::no, n, depth, outputs, 1, dy.data,
          outputs, w, transposed ? outputs : depth, add ? T(1) : T(0), dx.data, depth);
}
template <class T>
void inner_product_backward_weights(Cuda& b, const View<const T, Cuda>& x, const View<const T, Cuda>& dy,
                                    bool transposed, T* dw, bool add_w, T* db, bool add_b,
                                    std::span<std::byte>) {
  const std::int64_t n = x.shape[0], outputs = dy.shape.count(1), depth = x.shape.count(1);
  const T beta = add_w ? T(1) : T(0);
  if (dw && transposed)
    gemm<T>(b, Transpose::yes, Transpose::no, depth, outputs, n, 1, x.data, depth, dy.data, outputs, beta, dw,
            outputs);
  else if (dw)
    gemm<T>(b, Transpose::yes, Transpose::no, outputs, depth, n, 1, dy.data, outputs, x.data, depth, beta, dw,
            depth);
  if (db) b.launch("column_sums", cuda::launch_column_sums<T>, n, outputs, dy.data, db, add_b);
}

// --- softmax and loss

namespace detail {
inline cuda::Classes classes_of(const Shape& s, int axis) {
  return {s.count(0, axis), s[axis], s.count(axis + 1)};
}
}  // namespace detail

template <class T>
void softmax_forward(Cuda& b, int axis, const View<const T, Cuda>& x, T* y) {
  b.launch("softmax_forward", cuda::launch_softmax_forward<T>, detail::classes_of(x.shape, axis), x.data, y);
}
/// Waits for the device: the loss is a number of the host.
template <class T>
SoftmaxLossSum softmax_loss_forward(Cuda& b, int axis, const View<const T, Cuda>& p,
                                    const View<const T, Cuda>& labels, bool has_ignore, int ignore) {
  const cuda::Classes c = detail::classes_of(p.shape, axis);
  b.launch("softmax_loss", cuda::launch_softmax_loss<T>, c, p.data, labels.data, has_ignore, ignore,
           b.scratch());
  double out[3];
  b.copy_out(out, b.scratch(), sizeof out);
  if (const auto bad = static_cast<std::int64_t>(out[2]); bad >= 0) {
    T label;
    b.copy_out(&label, labels.data + bad, sizeof label);
    checked_label(label, bad / c.inner, c.classes, has_ignore, ignore);
  }
  return {out[0], static_cast<std::int64_t>(out[1])};
}
template <class T>
void softmax_loss_backward(Cuda& b, int axis, const View<const T, Cuda>& p, const View<const T, Cuda>& labels,
                           bool has_ignore, int ignore, T scale, const View<T, Cuda>& dx, bool add) {
  b.launch("softmax_loss_backward", cuda::launch_softmax_loss_backward<T>, detail::classes_of(p.shape, axis),
           p.data, labels.data, has_ignore, ignore, scale, dx.data, add);
}

// --- update

template <class T>
void sgd_update(Cuda& b, std::span<T> param, std::span<const std::type_identity_t<T>> grad,
                std::span<std::type_identity_t<T>> history, const SgdRule<std::type_identity_t<T>>& rule) {
  if (param.size() != grad.size() || param.size() != history.size())
    throw ShapeError(cat("sgd_update over ", param.size(), " parameters, ", grad.size(), " gradients and ",
                         history.size(), " elements of history"));
  b.launch("sgd", cuda::launch_sgd<T>, rule, static_cast<std::int64_t>(param.size()), param.data(),
           grad.data(), history.data());
}
namespace detail {
inline double first_of(Cuda& b) {
  double x = 0;
  b.copy_out(&x, b.scratch(), sizeof x);
  return x;
}
}  // namespace detail
template <class T>
double sum_of_squares(Cuda& b, std::span<const T> x) {
  static_assert(cuda::reduction_blocks < Cuda::scratch_size);
  b.launch("sum_of_squares", cuda::launch_sum_of_squares<T>, static_cast<std::int64_t>(x.size()), x.data(),
           b.scratch());
  return detail::first_of(b);
}
template <class T>
bool all_finite(Cuda& b, std::span<const T> x) {
  b.launch("count_not_finite", cuda::launch_count_not_finite<T>, static_cast<std::int64_t>(x.size()),
           x.data(), b.scratch());
  return detail::first_of(b) == 0;
}

}  // namespace crema
