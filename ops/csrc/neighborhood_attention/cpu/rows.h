// Movement between tensors and the layouts of the products. Tensors are strided and of storage type; every other array
// is of compute type and padded to whole vectors of channels.
#pragma once

#include "plan.h"

namespace smalti {
namespace SMALTI_ISA {
namespace {

// One head of one image, restricted to a residue class: steps are in elements between neighbours of the class.
template <typename T>
struct ClassMap {
  T* origin;
  int64_t row, column;
  T* at(int64_t y, int64_t x) const { return origin + y * row + x * column; }
};

// The last few rows of a map by row number.
template <typename C>
struct RowRing {
  C* data;
  int64_t size, capacity;
  C* row(int64_t y) const { return data + y % capacity * size; }
};

// Layout of one row of keys or values: [channel][x] with margins for reads past the ends, or [x][channel].
struct RowLayout {
  int64_t channels;  // padded
  int64_t pitch, margin;

  template <typename C>
  static RowLayout make(int64_t width, int64_t dim) {
    constexpr int64_t L = kLanes<C>;
    const int64_t margin = round_up(kMaxWindow / 2, L);
    // An odd number of vectors from channel to channel spreads them over the sets of the cache.
    const int64_t vectors = (round_up(width, L) + 2 * margin) / L + 2;
    return {round_up(dim, at_least(L, kChannelBlock)), (vectors | 1) * L, margin};
  }
};

// to[channel][x]
template <typename T, typename C>
void fill_channels(const T* row, int64_t column_step, int64_t width, int64_t dim, const RowLayout& layout, C* to) {
  constexpr int64_t L = kLanes<C>;
  for (int64_t x = 0; x < width; x += L) {
    for (int64_t d = 0; d < dim; d += L) {
      Vec<C> block[L];
      for (int64_t l = 0; l < L; ++l)
        block[l] = load_first(row + at_most(x + l, width - 1) * column_step + d, dim - d);
      transpose<C>(block);
      for (int64_t l = 0; l < L; ++l) store(to + (d + l) * layout.pitch + layout.margin + x, block[l]);
    }
  }
}

// to[x][channel]
template <typename T, typename C>
void fill_tokens(const T* row, int64_t column_step, int64_t width, int64_t dim, const RowLayout& layout, C* to) {
  constexpr int64_t L = kLanes<C>;
  for (int64_t x = 0; x < width; ++x)
    for (int64_t d = 0; d < dim; d += L)
      store(to + x * layout.channels + d, load_first(row + x * column_step + d, dim - d));
}

// Queries of a tile times `scale`: channels[channel][lane] and, if not null, tokens[lane][channel].
template <bool kUnusedAreZero, typename T, typename C>
void load_queries(const ClassMap<const T>& map, const Queries<C>& at, int64_t dim, C scale, int64_t padded, C* channels,
                  C* tokens) {
  constexpr int64_t L = kLanes<C>;
  const Tile<C>& tile = *at.tile;
  const T* from[L];
  for (int64_t l = 0; l < L; ++l) from[l] = map.at(at.y + tile.y[l], tile.x[l]);
  for (int64_t d = 0; d < dim; d += L) {
    Vec<C> block[L];
    for (int64_t l = 0; l < L; ++l) {
      block[l] = load_first(from[l] + d, dim - d) * scale;
      if (kUnusedAreZero && l >= tile.count) block[l] = Vec<C>{};
      if (tokens != nullptr) store(tokens + l * padded + d, block[l]);
    }
    transpose<C>(block);
    for (int64_t l = 0; l < L; ++l) store(channels + (d + l) * L, block[l]);
  }
}

// The inverse: channels[channel][lane] * factor[lane].
template <typename T, typename C>
void store_queries(const ClassMap<T>& map, const Queries<C>& at, int64_t dim, Vec<C> factor, const C* channels) {
  constexpr int64_t L = kLanes<C>;
  const Tile<C>& tile = *at.tile;
  for (int64_t d = 0; d < dim; d += L) {
    Vec<C> block[L];
    for (int64_t l = 0; l < L; ++l) block[l] = load(channels + (d + l) * L) * factor;
    transpose<C>(block);
    for (int64_t l = 0; l < tile.count; ++l)
      store_first(map.at(at.y + tile.y[l], tile.x[l]) + d, block[l], dim - d);
  }
}

// Tokens of a class are far apart in memory, and hardware does not foresee them: the passes ask for what they need
// later.
template <typename T>
SMALTI_INLINE void prefetch_token(const T* token, int64_t dim) {
  constexpr int64_t kLine = 64 / sizeof(T);
  for (int64_t d = 0; d < dim; d += kLine) __builtin_prefetch(token + d);
}
// The queries' tokens, or those `down` rows below them.
template <typename T, typename C>
void prefetch_queries(const ClassMap<T>& map, const Queries<C>& at, int64_t down, int64_t dim) {
  for (int64_t l = 0; l < at.tile->count; ++l)
    prefetch_token(map.at(at.y + at.tile->y[l] + down, at.tile->x[l]), dim);
}
// What is read for the queries that take the place of these: two rows below or, as a row plan has no more rows, in the
// next unit (which may be of another shape, and then some addresses are of no use, but do no harm).
template <typename T, typename C>
void prefetch_ahead(const Plan<C>& plan, const Queries<C>& at, const ClassMap<T>& map, const ClassMap<T>& next,
                    int64_t dim) {
  if (plan.whole_rows) return prefetch_queries(next, at, 0, dim);
  if (at.y + kMaxVectors < plan.height) prefetch_queries(map, at, kMaxVectors, dim);
}
// The same for keys, of which `row` is the next to be read.
template <typename T, typename C>
void prefetch_keys(const Plan<C>& plan, const Queries<C>& at, const ClassMap<T>& map, const ClassMap<T>& next,
                   int64_t row, int64_t dim) {
  if (plan.whole_rows) return prefetch_queries(next, at, 0, dim);
  if (row < plan.height) prefetch_queries(map, at, row - at.y, dim);
}

// One number for each query, of type C in the tensor.
template <typename C>
SMALTI_INLINE Vec<C> load_numbers(const ClassMap<const C>& map, const Queries<C>& at) {
  Vec<C> numbers;
  for (int64_t l = 0; l < kLanes<C>; ++l) numbers[l] = *map.at(at.y + at.tile->y[l], at.tile->x[l]);
  return numbers;
}
template <typename C>
SMALTI_INLINE void store_numbers(const ClassMap<C>& map, const Queries<C>& at, Vec<C> numbers) {
  for (int64_t l = 0; l < at.tile->count; ++l) *map.at(at.y + at.tile->y[l], at.tile->x[l]) = numbers[l];
}

}  // namespace
}  // namespace SMALTI_ISA
}  // namespace smalti
