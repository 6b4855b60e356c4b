// The products of queries with rows of keys. Lanes are queries; a group has one or two vectors of them that read the
// same keys, so that a key is fetched once for both. Matrices of pairs are [key row][column][lane].
#pragma once

#include "keys.h"

namespace smalti {
namespace SMALTI_ISA {
namespace {

constexpr int64_t kMaxVectors = 2;

// Columns whose sums stay in registers, next to the two queries, the halo and the column's own register.
constexpr int64_t kColumnBlock = kVectorRegisters == 32 ? 8 : 4;

// pairs[v][j][lane] = start[v][j][lane] + sum_d queries[v][d][lane] * key(j, lane)[d] for the columns from `first` on.
// One start serves all columns where start_step is zero.
template <int R, int N, typename C, typename Keys>
SMALTI_INLINE void row_scores_block(const Keys& keys, const C* row, int64_t first, int64_t dim, const C* const* queries,
                                    const C* const* start, int64_t start_step, C* const* pairs) {
  constexpr int64_t L = kLanes<C>;
  typename Keys::Column column[N];
  Vec<C> sum[R][N];
  for (int j = 0; j < N; ++j) {
    column[j] = keys.column(first + j);
    for (int v = 0; v < R; ++v) sum[v][j] = load(start[v] + (first + j) * start_step);
  }
  for (int64_t d = 0; d < dim; ++d) {
    const typename Keys::Halo halo = keys.halo(row, d);
    Vec<C> query[R];
    for (int v = 0; v < R; ++v) query[v] = load(queries[v] + d * L);
    for (int j = 0; j < N; ++j) {
      const Vec<C> key = Keys::pick(halo, column[j]);
      for (int v = 0; v < R; ++v) sum[v][j] += query[v] * key;
    }
  }
  for (int j = 0; j < N; ++j)
    for (int v = 0; v < R; ++v) store(pairs[v] + (first + j) * L, sum[v][j]);
}

template <int R, typename C, typename Keys>
void row_scores(const Keys& keys, const C* row, int64_t columns, int64_t dim, const C* const* queries,
                const C* const* start, int64_t start_step, C* const* pairs) {
  const int64_t blocks = (columns + kColumnBlock - 1) / kColumnBlock;
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t first = columns * i / blocks, last = columns * (i + 1) / blocks;
#define SMALTI_BLOCK(n) \
  case n: row_scores_block<R, n>(keys, row, first, dim, queries, start, start_step, pairs); break;
    switch (last - first) {
      SMALTI_BLOCK(1)
      SMALTI_BLOCK(2)
      SMALTI_BLOCK(3)
      SMALTI_BLOCK(4)
#if defined(__AVX512F__)
      SMALTI_BLOCK(5)
      SMALTI_BLOCK(6)
      SMALTI_BLOCK(7)
      SMALTI_BLOCK(8)
#endif
    }
#undef SMALTI_BLOCK
  }
}

// Channels of a product whose sums stay in registers; channel counts are padded to a multiple of it.
constexpr int64_t kChannelBlock = 4;

// sums[v][d][lane] += sum_{row, j} pairs[v][row][j][lane] * value(row, j, lane)[d] over `count` rows.
template <int R, typename C, typename Keys>
void mix_rows(const Keys& keys, const C* const* rows, int64_t count, int64_t columns, int64_t dim,
              const C* const* pairs, C* const* sums) {
  constexpr int64_t L = kLanes<C>;
  for (int64_t d = 0; d < dim; d += kChannelBlock) {
    Vec<C> sum[R][kChannelBlock];
    for (int v = 0; v < R; ++v)
      for (int i = 0; i < kChannelBlock; ++i) sum[v][i] = load(sums[v] + (d + i) * L);
    int64_t at = 0;
    for (int64_t r = 0; r < count; ++r) {
      typename Keys::Halo halo[kChannelBlock];
      for (int i = 0; i < kChannelBlock; ++i) halo[i] = keys.halo(rows[r], d + i);
      for (int64_t j = 0; j < columns; ++j, at += L) {
        const typename Keys::Column column = keys.column(j);
        Vec<C> weight[R];
        for (int v = 0; v < R; ++v) weight[v] = load(pairs[v] + at);
        for (int i = 0; i < kChannelBlock; ++i) {
          const Vec<C> value = Keys::pick(halo[i], column);
          for (int v = 0; v < R; ++v) sum[v][i] += weight[v] * value;
        }
      }
    }
    for (int v = 0; v < R; ++v)
      for (int i = 0; i < kChannelBlock; ++i) store(sums[v] + (d + i) * L, sum[v][i]);
  }
}

// Key rows of one column that are summed together. Register pressure: rows x 2 sums.
constexpr int64_t kRowBlock = kVectorRegisters == 32 ? 8 : 6;

// to[r][channel] += sum_lane pairs[r][at[lane]] * from[lane][channel] for the lanes [begin, end): the gradient of N key
// rows at one column, channels across the vector. V vectors of channels.
template <int N, int V, typename C>
SMALTI_INLINE void scatter_block(const C* pairs, int64_t row_step, const int64_t* at, int64_t begin, int64_t end,
                                 const C* from, int64_t token, C* const* to) {
  constexpr int64_t L = kLanes<C>;
  Vec<C> sum[N][V];
  for (int r = 0; r < N; ++r)
    for (int i = 0; i < V; ++i) sum[r][i] = load(to[r] + i * L);
  for (int64_t l = begin; l < end; ++l) {
    Vec<C> source[V];
    for (int i = 0; i < V; ++i) source[i] = load(from + l * token + i * L);
    for (int r = 0; r < N; ++r) {
      const Vec<C> weight = broadcast(pairs[r * row_step + at[l]]);
      for (int i = 0; i < V; ++i) sum[r][i] += weight * source[i];
    }
  }
  for (int r = 0; r < N; ++r)
    for (int i = 0; i < V; ++i) store(to[r] + i * L, sum[r][i]);
}

template <int V, typename C>
SMALTI_INLINE void scatter_rows(int64_t rows, const C* pairs, int64_t row_step, const int64_t* at, int64_t begin,
                                int64_t end, const C* from, int64_t token, C* const* to) {
#define SMALTI_BLOCK(n) \
  case n: scatter_block<n, V>(pairs, row_step, at, begin, end, from, token, to); break;
  switch (rows) {
    SMALTI_BLOCK(1)
    SMALTI_BLOCK(2)
    SMALTI_BLOCK(3)
    SMALTI_BLOCK(4)
    SMALTI_BLOCK(5)
    SMALTI_BLOCK(6)
#if defined(__AVX512F__)
    SMALTI_BLOCK(7)
    SMALTI_BLOCK(8)
#endif
  }
#undef SMALTI_BLOCK
}

}  // namespace
}  // namespace SMALTI_ISA
}  // namespace smalti
