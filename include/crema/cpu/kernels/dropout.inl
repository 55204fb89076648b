// SPDX-License-Identifier: Apache-2.0
// Dropout: kernels, included once per instruction set.

/// Philox4x32-10 (core/random.hpp), one counter per lane: c[0..3] become the four words.
inline void philox_lanes(ivec<float> (&counter)[4], const Key& key) {
  typedef std::uint32_t U32 __attribute__((vector_size(register_bytes)));
  typedef std::uint64_t U64 __attribute__((vector_size(register_bytes)));
  U32 c[4];
  for (int i = 0; i < 4; ++i) c[i] = (U32)counter[i];
  std::uint32_t k0 = key[0], k1 = key[1];
  // Even lanes multiply as they lie in 64 bits, odd lanes after a shift.
  const auto multiply = [](U32 a, std::uint64_t by, U32& high, U32& low) CREMA_ALWAYS_INLINE {
    constexpr std::uint64_t lower = 0xffffffff;
    const U64 even = ((U64)a & lower) * by, odd = ((U64)a >> 32) * by;
    low = (U32)((even & lower) | (odd << 32));
    high = (U32)((even >> 32) | (odd & ~lower));
  };
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round) {
    U32 high0, low0, high1, low1;
    multiply(c[0], philox_m0, high0, low0);
    multiply(c[2], philox_m1, high1, low1);
    c[0] = high1 ^ c[1] ^ k0, c[1] = low1, c[2] = high0 ^ c[3] ^ k1, c[3] = low0;
    k0 += philox_w0, k1 += philox_w1;
  }
  for (int i = 0; i < 4; ++i) counter[i] = (ivec<float>)c[i];
}

/// word[w][i]: word w of the counter {group[i], sample[i], iteration, part}, for 16 lanes.
inline void dropout_words(const DropoutMask& mask, const std::uint32_t (&group)[16],
                          const std::uint32_t (&sample)[16], std::uint32_t (&word)[4][16]) {
  constexpr int n = V<float>::n;
  for (int i = 0; i < 16; i += n) {
    ivec<float> c[4] = {*reinterpret_cast<const ivec<float>*>(group + i),
                        *reinterpret_cast<const ivec<float>*>(sample + i),
                        iset<float>(static_cast<std::int32_t>(mask.iteration)),
                        iset<float>(static_cast<std::int32_t>(mask.part))};
    philox_lanes(c, mask.key);
    for (int w = 0; w < 4; ++w) *reinterpret_cast<ivec<float>*>(&word[w][i]) = c[w];
  }
}

/// Lanes whose word says that they stay.
template <class T>
inline CREMA_ALWAYS_INLINE ivec<T> dropout_kept(const std::uint32_t* word, std::uint32_t threshold) {
  typedef std::uint32_t Words __attribute__((vector_size(V<T>::n * 4), may_alias));
  const Words w = *reinterpret_cast<const Words*>(word);
  if constexpr (sizeof(T) == 4)
    return w >= threshold;
  else
    return __builtin_convertvector(w, ivec<T>) >= std::int64_t{threshold};
}

template <class T>
void dropout_native(const DropoutRun<T>& run) {
  constexpr int n = V<T>::n;
  alignas(64) std::uint32_t group[16], sample[16], word[4][16];
  for (std::uint32_t i = 0; i < 16; ++i) sample[i] = run.sample + i;
  std::int64_t pixel = run.first % run.pixels, channel = run.first / run.pixels;
  for (std::int64_t e = run.first; e < run.last; e += 4) {
    for (std::uint32_t& g : group) g = static_cast<std::uint32_t>(e / 4);
    dropout_words(run.mask, group, sample, word);
    for (std::int64_t w = 0; w < 4 && e + w < run.last; ++w) {
      const T* const x = run.x + (pixel * run.x_pixel + channel) * 16;
      T* const y = run.y + (pixel * run.y_pixel + channel) * 16;
      for (int i = 0; i < 16; i += n) {
        const vec<T> v =
            select(dropout_kept<T>(&word[w][i], run.mask.threshold), load(x + i) * run.scale, vec<T>{});
        store(y + i, run.add ? load(y + i) + v : v);
      }
      if (++pixel == run.pixels) pixel = 0, ++channel;
    }
  }
}

template <class T>
void dropout_canonical(const DropoutRun<T>& run) {  // one image
  alignas(64) std::uint32_t group[16], sample[16], word[4][16];
  for (std::uint32_t& s : sample) s = run.sample;
  for (std::int64_t first = run.first; first < run.last; first += 64) {
    for (std::uint32_t i = 0; i < 16; ++i) group[i] = static_cast<std::uint32_t>(first / 4) + i;
    dropout_words(run.mask, group, sample, word);
    for (std::int64_t e = first; e < std::min(first + 64, run.last); ++e) {
      const T v = word[e % 4][(e - first) / 4] >= run.mask.threshold ? run.x[e] * run.scale : T(0);
      run.y[e] = run.add ? run.y[e] + v : v;
    }
  }
}

template <class T>
constexpr DropoutKernels<T> dropout_kernels() {
  return {.native = dropout_native<T>, .canonical = dropout_canonical<T>};
}
