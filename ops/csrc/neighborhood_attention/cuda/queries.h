// Windows and bias of a warp's 16 queries against keys of a box.
#pragma once

#include "tile.h"

namespace smalti::na2d {

constexpr int kNowhere = 1 << 30;  // start of a window that no key is in

// A lane's two queries: rows of the accumulators.
struct Queries {
  int start_x, start_y[2];  // of their windows
  int table;                // bias index of the first one for key (0, 0)

  __device__ __forceinline__ Queries(const LaneTokens& at, const Tile& tile, const TileGrid& grid) {
    start_x = window_start(at.x, tile.length_x, grid.window_x);
    SMALTI_UNROLL
    for (int r = 0; r < 2; ++r)
      start_y[r] = at.inside[r] ? window_start(at.y + r, tile.length_y, grid.window_y) : kNowhere;
    table = (grid.window_y - 1 - at.y) * grid.table_pitch() + grid.window_x - 1 - at.x;
  }
};

// Scores to exponents of 2: scaled, with the bias, -inf outside the window.
__device__ __forceinline__ void mask(float (&scores)[4], int key_y, int key_x, const Queries& queries,
                                     const TileGrid& grid, float scale, const float* table) {
  const int at = queries.table + key_y * grid.table_pitch() + key_x;
  SMALTI_UNROLL
  for (int i = 0; i < 4; ++i) {
    const int r = i / 2, y = key_y - queries.start_y[r], x = key_x + i % 2 - queries.start_x;
    const bool seen = static_cast<unsigned>(y) < static_cast<unsigned>(grid.window_y) &&
                      static_cast<unsigned>(x) < static_cast<unsigned>(grid.window_x);
    scores[i] = seen ? scores[i] * scale + table[at + i % 2 - r * grid.table_pitch()] : -INFINITY;
  }
}

}  // namespace smalti::na2d
