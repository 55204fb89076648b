// SPDX-License-Identifier: Apache-2.0
// class Cpu: a backend that owns its threads and knows its instruction set. What the ops in cpu/*.hpp
// include; programs include cpu/cpu.hpp.
//
//   Cpu cpu({.threads = 2});
//   Buffer<float, Cpu> memory(cpu, 1024);
//   cpu.parallel(8, [&](std::int64_t chunk) { cpu.kernels<ElementwiseKernels<float>>().axpby(...); });
//
// One Cpu is used by one thread at a time. Equal bits for any number of threads, as long as chunks are
// functions of shape; not for different instruction sets.
#pragma once

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <optional>
#include <span>

#include "crema/core/tensor.hpp"
#include "crema/core/thread_pool.hpp"
#include "crema/cpu/dispatch.hpp"

namespace crema::inline CREMA_ABI {

struct CpuOptions {
  int threads = 0;              // 0: as many as the process may use
  std::optional<Isa> isa = {};  // the best there is
  bool spin = true;  // false where other ranks or programs share the cores: idle threads sleep at once
};

class Cpu {
 public:
  static constexpr std::string_view name = "cpu";
  static constexpr bool has_native_order = true;
  static constexpr bool ops_in_regions = true;  // on the calling thread alone, but for gemm

  /// Throws SpecError for an instruction set that this processor lacks or a negative number of threads.
  explicit Cpu(CpuOptions o = {});
  Cpu(const Cpu&) = delete;
  Cpu& operator=(const Cpu&) = delete;
  ~Cpu();

  /// 64-byte aligned, zeroed, with 64 readable bytes behind it; huge pages from 2 MB on. Throws
  /// std::bad_alloc.
  void* allocate(std::size_t bytes);
  void deallocate(void* p, std::size_t bytes) noexcept;
  void copy_in(void* dst, const void* src, std::size_t bytes) {
    if (bytes != 0) std::memcpy(dst, src, bytes);
  }
  void copy_out(void* dst, const void* src, std::size_t bytes) { copy_in(dst, src, bytes); }
  void synchronize() {}

  int threads() const noexcept { return pool_.threads(); }
  Isa isa() const noexcept { return isa_; }
  /// The kernels of one family, K = ElementwiseKernels<float> for one, for this object's instruction set.
  template <class K>
  const K& kernels() const {
    return kernel_table<K>(isa_);
  }

  /// f(chunk) for every chunk in [0, chunks); the contract is ThreadPool::parallel's.
  template <class F>
  void parallel(std::int64_t chunks, F&& f) {
    pool_.parallel(chunks, f);
  }

  /// parallel() over [0, n) in pieces of `grain`: f(first, last). The pieces depend on n and grain alone.
  template <class F>
  void parallel_range(std::int64_t n, std::int64_t grain, F&& f) {
    pool_.parallel((n + grain - 1) / grain, [&](std::int64_t chunk) {
      const std::int64_t first = chunk * grain;
      f(first, first + grain < n ? first + grain : n);
    });
  }

  /// Private memory of the op that is running, valid until the next op; grows and never shrinks, so that a
  /// steady step does not allocate. Not to be called from inside a region.
  std::byte* scratch(std::size_t bytes);

 private:
  static constexpr std::size_t huge_page = std::size_t{2} << 20, slack = 64;
  static std::size_t small_size(std::size_t bytes) { return (bytes + slack + 63) / 64 * 64; }
  static std::size_t huge_size(std::size_t bytes) {
    return (bytes + slack + huge_page - 1) / huge_page * huge_page;
  }

  static void* allocate_huge(std::size_t bytes);
  static Isa checked(const CpuOptions& o);

  Isa isa_;
  ThreadPool pool_;
  std::byte* scratch_ = nullptr;
  std::size_t scratch_bytes_ = 0;
};

#if CREMA_BODIES
CREMA_INLINE Cpu::Cpu(CpuOptions o)
    : isa_(checked(o)), pool_(o.threads == 0 ? allowed_cores() : o.threads, o.spin) {}
CREMA_INLINE Cpu::~Cpu() { deallocate(scratch_, scratch_bytes_); }
CREMA_INLINE void* Cpu::allocate(std::size_t bytes) {
  if (bytes > SIZE_MAX / 2) throw std::bad_alloc();
  if (bytes >= huge_page) return allocate_huge(bytes);
  void* const p = std::aligned_alloc(64, small_size(bytes));
  if (p == nullptr) throw std::bad_alloc();
  return std::memset(p, 0, small_size(bytes));
}
CREMA_INLINE void Cpu::deallocate(void* p, std::size_t bytes) noexcept {
  if (p == nullptr) return;
  if (bytes >= huge_page)
    munmap(p, huge_size(bytes));
  else
    std::free(p);
}
CREMA_INLINE_HOT std::byte* Cpu::scratch(std::size_t bytes) {
  if (bytes > scratch_bytes_) {
    deallocate(scratch_, scratch_bytes_);
    scratch_ = nullptr, scratch_bytes_ = 0;
    scratch_ = static_cast<std::byte*>(allocate(bytes));
    scratch_bytes_ = bytes;
  }
  return scratch_;
}
CREMA_INLINE void* Cpu::allocate_huge(std::size_t bytes) {
  const std::size_t size = huge_size(bytes), mapped = size + huge_page;
  void* const p = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  std::byte* const begin = static_cast<std::byte*>(p);
  const std::size_t skip = (huge_page - reinterpret_cast<std::uintptr_t>(p) % huge_page) % huge_page;
  if (skip != 0) munmap(begin, skip);
  if (skip != huge_page) munmap(begin + skip + size, huge_page - skip);
  madvise(begin + skip, size, MADV_HUGEPAGE);  // a wish: no harm if the system refuses
  return begin + skip;
}
CREMA_INLINE Isa Cpu::checked(const CpuOptions& o) {
  if (o.threads < 0)
    throw SpecError(cat("a Cpu needs 1 thread or more, or 0 for all cores, not ", o.threads));
  const Isa isa = o.isa.value_or(best_isa());
  if (!isa_available(isa))
    throw SpecError(cat("this processor has no ", name_of(isa), "; its best is ", name_of(best_isa())));
  return isa;
}
#endif

}  // namespace crema
