// SPDX-License-Identifier: Apache-2.0
// Softmax: kernels, included once per instruction set. The classes of 16 images, line by line.

template <class T>
void softmax_lines(const T* x, std::int64_t classes, T* y) {
  for (int l = 0; l < 16; l += V<T>::n) {
    vec<T> most = load(x + l), total{};
    for (std::int64_t c = 1; c < classes; ++c) most = vmax(load(x + l + c * 16), most);
    for (std::int64_t c = 0; c < classes; ++c) {
      const vec<T> e = exp(load(x + l + c * 16) - most);
      total += e;
      store(y + l + c * 16, e);
    }
    const vec<T> inverse = T(1) / total;
    for (std::int64_t c = 0; c < classes; ++c) store(y + l + c * 16, load(y + l + c * 16) * inverse);
  }
}

template <class T>
void softmax_lines_backward(const T* y, const T* dy, std::int64_t classes, T* dx, bool add) {
  for (int l = 0; l < 16; l += V<T>::n) {
    vec<T> dot{};
    for (std::int64_t c = 0; c < classes; ++c) dot += load(y + l + c * 16) * load(dy + l + c * 16);
    for (std::int64_t c = 0; c < classes; ++c) {
      const std::int64_t i = l + c * 16;
      vec<T> d = load(y + i) * (load(dy + i) - dot);
      if (add) d += load(dx + i);
      store(dx + i, d);
    }
  }
}

template <class T>
void scaled_lines(const T* y, std::int64_t classes, const T* weight, T* dx, bool add) {
  for (int l = 0; l < 16; l += V<T>::n) {
    const vec<T> w = load(weight + l);
    for (std::int64_t c = 0; c < classes; ++c) {
      const std::int64_t i = l + c * 16;
      vec<T> d = w * load(y + i);
      if (add) d += load(dx + i);
      store(dx + i, d);
    }
  }
}

template <class T>
constexpr SoftmaxKernels<T> make_table(std::type_identity<SoftmaxKernels<T>>) {
  return {.forward = &softmax_lines<T>, .backward = &softmax_lines_backward<T>, .scaled = &scaled_lines<T>};
}
