// How the lanes of a tile (queries) read the keys or values of one row of their class. Every reader names a key by its
// column: relative to the window of the lane (windowed readers) or to the row (RowKeys, where all lanes see all columns
// and a mask hides what is outside of a window).
//
//   Halo halo(row, d)       what a tile needs of channel d
//   Column column(j)        what it needs to know about column j, for any channel
//   Vec pick(halo, column)  channel d of key j, for each lane
#pragma once

#include "../../simd.h"

namespace smalti {
namespace SMALTI_ISA {
namespace {

constexpr int64_t kMaxWindow = 13;

// What windowed readers know about a tile of consecutive queries.
template <typename C>
struct TileColumns {
  int64_t first;                                 // column of the first query
  int64_t origin;                                // first column that the tile sees
  int64_t last_start;                            // window start of the last query of the row
  VecMask<C> left, right;                        // lanes whose window is shifted by a border
  VecMask<C> index[kMaxWindow];                  // key of each lane, counted from the origin
};

// Row-major keys: [x][channel].
template <typename C>
struct RowKeys {
  using Halo = const C*;
  using Column = int64_t;
  int64_t token;  // elements from one key to the next

  SMALTI_INLINE Halo halo(const C* row, int64_t d) const { return row + d; }
  SMALTI_INLINE Column column(int64_t j) const { return j * token; }
  SMALTI_INLINE static Vec<C> pick(Halo halo, Column column) { return broadcast(halo[column]); }
};

// Channel-major keys: [channel][x]. No window of the tile is shifted: one load for each column.
template <typename C>
struct InteriorKeys {
  using Halo = const C*;
  using Column = int64_t;
  int64_t pitch, origin;

  SMALTI_INLINE InteriorKeys(const TileColumns<C>& tile, int64_t pitch) : pitch(pitch), origin(tile.origin) {}
  SMALTI_INLINE Halo halo(const C* row, int64_t d) const { return row + d * pitch + origin; }
  SMALTI_INLINE Column column(int64_t j) const { return j; }
  SMALTI_INLINE static Vec<C> pick(Halo halo, Column column) { return load(halo + column); }
};

// Channel-major keys of a tile at a border: shifted windows all see the same keys.
template <typename C>
struct BorderKeys {
  struct Halo {
    const C *unshifted, *first, *last;
    VecMask<C> left, right;
  };
  using Column = int64_t;
  const TileColumns<C>& tile;
  int64_t pitch, unshifted;

  SMALTI_INLINE BorderKeys(const TileColumns<C>& tile, int64_t pitch, int64_t window)
      : tile(tile), pitch(pitch), unshifted(tile.first - window / 2) {}
  SMALTI_INLINE Halo halo(const C* row, int64_t d) const {
    const C* channel = row + d * pitch;
    return {channel + unshifted, channel, channel + tile.last_start, tile.left, tile.right};
  }
  SMALTI_INLINE Column column(int64_t j) const { return j; }
  SMALTI_INLINE static Vec<C> pick(const Halo& halo, Column column) {
    const Vec<C> inner = halo.left ? broadcast(halo.first[column]) : load(halo.unshifted + column);
    return halo.right ? broadcast(halo.last[column]) : inner;
  }
};

#if defined(__AVX512F__)
// Channel-major keys, any tile: all keys of the tile lie in two registers, and a permutation finds each lane's.
struct PermutedKeys {
  struct Halo {
    Vec<float> low, high;
  };
  using Column = VecMask<float>;
  const TileColumns<float>& tile;
  int64_t pitch;

  SMALTI_INLINE Halo halo(const float* row, int64_t d) const {
    const float* channel = row + d * pitch + tile.origin;
    return {load(channel), load(channel + kLanes<float>)};
  }
  SMALTI_INLINE Column column(int64_t j) const { return tile.index[j]; }
  SMALTI_INLINE static Vec<float> pick(const Halo& halo, Column column) {
    return _mm512_permutex2var_ps(halo.low, reinterpret_cast<__m512i>(column), halo.high);
  }
};
static_assert(kLanes<float> + kMaxWindow - 1 <= 2 * kLanes<float>, "a halo must fit two registers");
#endif

}  // namespace
}  // namespace SMALTI_ISA
}  // namespace smalti
