// SPDX-License-Identifier: Apache-2.0
// View: non-owning data with its shape and layout. Buffer: owned memory of a backend.
//
//   Buffer<float, Cpu> memory(cpu, 1024);
//   View<float, Cpu> v{memory.data(), Shape{32, 32}, {}};
//
// A backend is an object: a device, its stream, its handles, its threads. Its name stands in every type that
// holds its memory, so a pointer of one device cannot reach the ops of another.
#pragma once

#include <concepts>
#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>

#include "crema/core/layout.hpp"
#include "crema/core/shape.hpp"

namespace crema::inline CREMA_ABI {

template <class T>
concept Scalar = std::same_as<T, float> || std::same_as<T, double>;

/// allocate: 64-byte aligned memory, zeroed, throws std::bad_alloc or CudaError; deallocate never throws.
/// copy_in, copy_out: between host memory and the backend's. synchronize: waits for all that was started.
template <class B>
concept Backend = requires(B& b, void* dst, const void* src, std::size_t bytes) {
  { B::name } -> std::convertible_to<std::string_view>;
  { b.allocate(bytes) } -> std::same_as<void*>;
  { b.deallocate(dst, bytes) }
  noexcept;
  b.copy_in(dst, src, bytes);
  b.copy_out(dst, src, bytes);
  b.synchronize();
};

template <class T, class B>
struct View {
  T* data = nullptr;
  Shape shape = {};  // live: axis 0 may be less than what was planned
  Layout layout = {};

  operator View<const T, B>() const requires(!std::is_const_v<T>) { return {data, shape, layout}; }
};

/// Owned memory for n elements, zeroed at construction. The backend must outlive it.
template <class T, class B>
class Buffer {
 public:
  Buffer() = default;
  Buffer(B& b, std::size_t n) : backend_(&b), size_(n), data_(static_cast<T*>(b.allocate(n * sizeof(T)))) {}
  Buffer(Buffer&& o) noexcept
      : backend_(std::exchange(o.backend_, nullptr)),
        size_(std::exchange(o.size_, 0)),
        data_(std::exchange(o.data_, nullptr)) {}
  Buffer& operator=(Buffer&& o) noexcept {
    std::swap(backend_, o.backend_), std::swap(size_, o.size_), std::swap(data_, o.data_);
    return *this;
  }
  ~Buffer() {
    if (data_) backend_->deallocate(data_, size_ * sizeof(T));
  }

  T* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }

 private:
  B* backend_ = nullptr;
  std::size_t size_ = 0;
  T* data_ = nullptr;
};

}  // namespace crema
