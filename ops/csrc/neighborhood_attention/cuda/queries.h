// Windows and bias of a warp's 16 queries against keys of a box.
#pragma once

#include "mma.h"

namespace smalti::na2d {

// A lane's two queries, rows of the accumulators, seen from a band of the box.
struct Queries {
  int x, y[2];  // the band's first token in their windows
  const float* entry[2];  // its bias
  int band_rows;

  __device__ __forceinline__ Queries(const LaneTokens& at, const Tile& tile, const Box& box, Range band,
                                     const TileGrid& grid, const BiasTable& table) {
    x = box.columns.first - window_start(at.x, tile.length_x, grid.window_x);
    SMALTI_UNROLL
    for (int r = 0; r < 2; ++r)
      y[r] = at.inside[r] ? band.first - window_start(at.y + r, tile.length_y, grid.window_y) : -kNowhere;
    entry[0] = table.at(band.first - at.y, box.columns.first - at.x, grid);
    entry[1] = entry[0] - table.pitch;
    band_rows = band.end - band.first;
  }
};

// Scores of two neighbouring tokens of the band to exponents of 2: scaled, with the bias, -inf outside the window.
template <bool OneBand>
__device__ __forceinline__ void mask(float (&scores)[4], int token, const Box& box, const Queries& queries,
                                     const TileGrid& grid, const BiasTable& table, float scale) {
  const int row = row_in_box(token, box.reciprocal), column = token - row * box.pitch;
  const int entry = row * table.pitch + column;
  if (table.inner) {
    SMALTI_UNROLL
    for (int i = 0; i < 4; ++i) scores[i] = scores[i] * scale + queries.entry[i / 2][entry + i % 2];
    return;
  }
  SMALTI_UNROLL
  for (int i = 0; i < 4; ++i) {
    const int r = i / 2, y = row + queries.y[r], x = column + queries.x + i % 2;
    const bool seen = static_cast<unsigned>(y) < static_cast<unsigned>(grid.window_y) &&
                      static_cast<unsigned>(x) < static_cast<unsigned>(grid.window_x) &&
                      (OneBand || row < queries.band_rows);
    scores[i] = seen ? scores[i] * scale + queries.entry[r][entry + i % 2] : -INFINITY;
  }
}

}  // namespace smalti::na2d
