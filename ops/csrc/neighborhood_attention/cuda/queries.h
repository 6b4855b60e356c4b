// Windows and bias of a warp's 16 queries against keys of a box.
#pragma once

#include "tile.h"

namespace smalti::na2d {

constexpr int kNowhere = 1 << 30;  // start of a window that no key is in

// A lane's two queries, rows of the accumulators, seen from a band of the box.
struct Queries {
  int x, y[2];  // the band's first token in their windows
  int table;    // its bias index for the first query
  int band_rows;

  __device__ __forceinline__ Queries(const LaneTokens& at, const Tile& tile, const Box& box, Range band,
                                     const TileGrid& grid) {
    x = box.columns.first - window_start(at.x, tile.length_x, grid.window_x);
    SMALTI_UNROLL
    for (int r = 0; r < 2; ++r)
      y[r] = at.inside[r] ? band.first - window_start(at.y + r, tile.length_y, grid.window_y) : -kNowhere;
    table = (band.first - at.y + grid.window_y - 1) * grid.table_pitch() + box.columns.first - at.x + grid.window_x - 1;
    band_rows = band.end - band.first;
  }
};

// Scores of two neighbouring tokens of the band to exponents of 2: scaled, with the bias, -inf outside the window.
template <bool OneBand>
__device__ __forceinline__ void mask(float (&scores)[4], int token, const Box& box, const Queries& queries,
                                     const TileGrid& grid, float scale, const float* table) {
  const int row = row_in_box(token, box.reciprocal), column = token - row * box.pitch;
  const int at = queries.table + row * grid.table_pitch() + column;
  SMALTI_UNROLL
  for (int i = 0; i < 4; ++i) {
    const int r = i / 2, y = row + queries.y[r], x = column + queries.x + i % 2;
    const bool seen = static_cast<unsigned>(y) < static_cast<unsigned>(grid.window_y) &&
                      static_cast<unsigned>(x) < static_cast<unsigned>(grid.window_x) &&
                      (OneBand || row < queries.band_rows);
    scores[i] = seen ? scores[i] * scale + table[at + i % 2 - r * grid.table_pitch()] : -INFINITY;
  }
}

}  // namespace smalti::na2d
