// SPDX-License-Identifier: Apache-2.0
// Matrix product: kernels, included once per instruction set.

// The tile's width is two registers. Its rows leave two of them for B and one for A; AVX-512 could hold two rows more,
// which are 1 % faster, for 1 to 2 % of the time that all layers take to compile.
inline constexpr int gemm_rows = registers == 32 ? 12 : register_bytes == 32 ? 6 : 4;

/// n elements from p, or as many as there are before `end`.
template <class T>
inline CREMA_ALWAYS_INLINE vec<T> load_before(const T* p, const T* end) {
  if (end - p >= V<T>::n) return loadu(p);
  return p < end ? load_some(p, end - p) : vec<T>{};
}

/// Panels of B that lie side by side, whole: memory is read in pieces of all their widths. Rows may be a page apart,
/// where the processor does not fetch ahead by itself.
template <class T>
void gemm_pack_whole(const T* from, std::int64_t along, std::int64_t panels, std::int64_t depth, T* to,
                     std::int64_t to_next) {
  constexpr int n = V<T>::n, line = 64 / int{sizeof(T)}, ahead = 8;
  for (std::int64_t k = 0; k < depth; ++k, from += along, to += 2 * n)
    for (std::int64_t q = 0; q < panels; ++q) {
      const T* const row = from + q * 2 * n;
      for (int j = 0; j < 2 * n; j += line) __builtin_prefetch(row + ahead * along + j);
      storeu(to + q * to_next, loadu(row));
      storeu(to + q * to_next + n, loadu(row + n));
    }
}

/// Panels [first, last), whatever there is of them. A panel is [k][width]. Stores are whole registers: what spills
/// over the width is overwritten by what comes after it, and behind the last row there is slack.
template <class T>
void gemm_pack_parts(const GemmPanels<T>& p, std::int64_t first, std::int64_t last) {
  constexpr int n = V<T>::n, together = 4;
  for (std::int64_t i = first; i < last; i += together) {
    const int panels = static_cast<int>(std::min<std::int64_t>(together, last - i));
    const T* from[together];
    T* to[together];
    std::int64_t width[together];
    for (int q = 0; q < panels; ++q) {
      from[q] = p.from.data + p.k * p.from.along + p.split.first(i + q);
      to[q] = p.to + gemm_panel_offset(p.split, i + q, p.depth);
      width[q] = p.split.size(i + q);
    }
    for (std::int64_t k = 0; k < p.depth; ++k)
      for (int q = 0; q < panels; ++q) {
        const T* const row = from[q] + k * p.from.along;
        T* const out = to[q] + k * width[q];
        for (std::int64_t j = 0; j < width[q]; j += n) storeu(out + j, load_before(row + j, p.from.end));
      }
  }
}

template <class T>
void gemm_pack_rows(const GemmPanels<T>& p) {  // contiguous across: copies
  constexpr std::int64_t width = 2 * V<T>::n, together = 512 / sizeof(T) / width;
  std::int64_t i = p.first;
  if (p.split.total == p.split.groups * width)  // B's
    for (const std::int64_t whole = std::min(p.last, p.from.count / width); i < whole;) {
      const std::int64_t panels = std::min(together, whole - i);
      gemm_pack_whole(p.from.data + p.k * p.from.along + i * width, p.from.along, panels, p.depth,
                      p.to + gemm_panel_offset(p.split, i, p.depth), width * p.depth + gemm_slack);
      i += panels;
    }
  gemm_pack_parts(p, i, p.last);
}

template <class T>
void gemm_pack_columns(const GemmPanels<T>& p, std::int64_t i) {  // contiguous along
  constexpr int n = V<T>::n;
  const std::int64_t first = p.split.first(i), width = p.split.size(i);
  for (std::int64_t j = (width - 1) / n * n; j >= 0;
       j -= n) {  // from the back: the block in front covers the spill
    const T* row[n];
    for (int r = 0; r < n; ++r)
      row[r] = p.from.data + p.k + std::min(first + j + r, p.from.count - 1) * p.from.across;
    T* const to = p.to + gemm_panel_offset(p.split, i, p.depth) + j;
    for (std::int64_t next = 0; p.depth >= n && next < p.depth; next += n) {
      const std::int64_t k = std::min(next, p.depth - n);
      vec<T> v[n];
#pragma GCC unroll 16
      for (int r = 0; r < n; ++r) v[r] = loadu(row[r] + k);
      transpose(v);
#pragma GCC unroll 16
      for (int r = 0; r < n; ++r) storeu(to + (k + r) * width, v[r]);
    }
    if (p.depth >= n) continue;
    for (std::int64_t k = 0; k < p.depth; ++k) {
      vec<T> v{};
      for (int r = 0; r < n; ++r) v[r] = row[r][k];
      storeu(to + k * width, v);
    }
  }
}

template <class T>
void gemm_pack(const GemmPanels<T>& p) {
  if (p.from.across == 1) return gemm_pack_rows(p);
  for (std::int64_t i = p.first; i < p.last; ++i) gemm_pack_columns(p, i);
}

/// What a tile stores where its columns are not all there, or C is seen as its transpose.
template <class T>
void gemm_store_part(const GemmBlock<T>& g, const T* tile, int rows, T* c, std::int64_t columns) {
  for (int i = 0; i < rows; ++i, tile += 2 * V<T>::n)
    for (std::int64_t j = 0; j < columns; ++j) {
      T& to = c[i * g.row_step + j * g.column_step];
      to = g.beta == 0 ? tile[j] : tile[j] + g.beta * to;
    }
}

/// c = alpha a b + beta c for R rows and up to two registers of columns.
template <class T, int R>
void gemm_tile(const GemmBlock<T>& g, const T* a, const T* b, std::int64_t step, T* c, std::int64_t columns) {
  constexpr int n = V<T>::n;
  const bool plain = columns == 2 * n && g.column_step == 1;
  vec<T> left[R], right[R];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) left[i] = right[i] = vec<T>{};
  for (int i = 0; plain && i < R; ++i)
    __builtin_prefetch(c + i * g.row_step), __builtin_prefetch(c + i * g.row_step + n);
  for (std::int64_t k = g.depth; k > 0; --k, a += R, b += step) {
    const vec<T> b0 = loadu(b), b1 = loadu(b + n);
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      const vec<T> v = set(a[i]);
      left[i] = v * b0 + left[i];
      right[i] = v * b1 + right[i];
    }
  }
  const T alpha = g.alpha, beta = g.beta;
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) left[i] *= alpha, right[i] *= alpha;
  if (!plain) {
    alignas(64) T tile[R][2 * n];
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) store(tile[i], left[i]), store(tile[i] + n, right[i]);
    return gemm_store_part(g, tile[0], R, c, columns);
  }
  if (beta != 0)
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      left[i] += beta * loadu(c + i * g.row_step);
      right[i] += beta * loadu(c + i * g.row_step + n);
    }
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
    storeu(c + i * g.row_step, left[i]);
    storeu(c + i * g.row_step + n, right[i]);
  }
}

template <class T, std::size_t... R>
void gemm_tile_of(std::int64_t rows, const GemmBlock<T>& g, const T* a, const T* b, std::int64_t step, T* c,
                  std::int64_t columns, std::index_sequence<R...>) {
  using Tile = void (*)(const GemmBlock<T>&, const T*, const T*, std::int64_t, T*, std::int64_t);
  static constexpr Tile tiles[] = {gemm_tile<T, static_cast<int>(R) + 1>...};
  tiles[rows - 1](g, a, b, step, c, columns);
}

template <class T>
void gemm_block(const GemmBlock<T>& g) {
  constexpr std::int64_t width = 2 * V<T>::n;
  for (std::int64_t i = g.first_row_group; i < g.last_row_group; ++i)
    for (std::int64_t j = g.first_panel; j < g.last_panel; ++j) {
      const bool direct = j < g.direct;
      gemm_tile_of<T>(
          g.rows.size(i), g, g.a + gemm_panel_offset(g.rows, i, g.depth),
          direct ? g.b_direct + j * width : g.b + gemm_panel_offset(g.columns, j, g.depth),
          direct ? g.ldb : width,
          g.c + (g.rows.first(i) - g.first_row) * g.row_step + (j * width - g.first_column) * g.column_step,
          std::min(width, g.column_count - j * width), std::make_index_sequence<gemm_rows>());
    }
}

template <class T>
constexpr GemmKernels<T> make_table(std::type_identity<GemmKernels<T>>) {
  return {.rows = gemm_rows, .columns = 2 * V<T>::n, .pack = gemm_pack<T>, .block = gemm_block<T>};
}
