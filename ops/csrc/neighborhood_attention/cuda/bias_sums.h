// Sums of score gradients over the diagonals that share an entry of the bias table, in a fixed order: a warp stages its
// gradients in shared memory, and each of its lanes owns some entries.
#pragma once

#include "mma.h"

namespace smalti::na2d {

constexpr int kStaged = 64;                 // keys at a time
constexpr int kStagePitch = kStaged + 8;    // floats; neighbouring rows of pairs share no banks

// Bytes of one warp: its sums and its stage.
inline int64_t bias_sums_bytes(const TileGrid& grid) {
  return (round_up(grid.table(), 4) + 16 * kStagePitch) * static_cast<int64_t>(sizeof(float));
}

class BiasSums {
 public:
  // `shared` belongs to this warp; its queries are rows `own_rows` of the tile, not empty.
  __device__ __forceinline__ BiasSums(float* shared, const Tile& tile, Range own_rows, const TileGrid& grid)
      : sums_(shared), stage_(shared + round_up(grid.table(), 4)) {
    // Key minus query: what the first key of a window is away from its query never increases with the query.
    const auto first = [](int query, int length, int window) { return window_start(query, length, window) - query; };
    y_ = first(own_rows.end - 1, tile.length_y, grid.window_y);
    x_ = first(tile.columns.end - 1, tile.length_x, grid.window_x);
    const int end_y = first(own_rows.first, tile.length_y, grid.window_y) + grid.window_y;
    const int end_x = first(tile.columns.first, tile.length_x, grid.window_x) + grid.window_x;
    width_ = end_x - x_, count_ = (end_y - y_) * width_, reciprocal_ = pitch_reciprocal(width_);
    first_y_ = own_rows.first, first_x_ = tile.columns.first;
  }

  __device__ __forceinline__ void clear(const TileGrid& grid) {
    for (int i = device::lane(); i < grid.table(); i += device::kWarp) sums_[i] = 0;
  }

  // Gradients of 8 keys, from `token` of the staged ones on.
  __device__ __forceinline__ void stage(int token, const float (&grads)[4]) {
    float* to = stage_ + device::lane() / 4 * kStagePitch + token + device::lane() % 4 * 2;
    device::store<float2>(to, make_float2(grads[0], grads[1]));
    device::store<float2>(to + 8 * kStagePitch, make_float2(grads[2], grads[3]));
  }

  // Adds the `staged` keys; the first one is token `base` of `band`. Pairs that do not see each other hold zeros.
  __device__ __forceinline__ void add(const Box& box, Range band, int base, int staged, const TileGrid& grid) {
    __syncwarp();
    for (int i = device::lane(); i < count_; i += device::kWarp) {
      const int row = row_in_box(i, reciprocal_);
      const int y = y_ + row, x = x_ + i - row * width_;
      const int column = first_x_ + x - box.columns.first;  // of the first query's key
      float sum = 0;
      SMALTI_UNROLL
      for (int r = 0; r < 2; ++r) {
        const int token = (first_y_ + r + y - band.first) * box.pitch + column - base;
        SMALTI_UNROLL
        for (int g = 0; g < kTile; ++g) {
          const bool held = static_cast<unsigned>(column + g) < static_cast<unsigned>(box.pitch) &&
                            static_cast<unsigned>(token + g) < static_cast<unsigned>(staged);
          if (held) sum += stage_[(r * kTile + g) * kStagePitch + token + g];
        }
      }
      sums_[(y + grid.window_y - 1) * grid.table_pitch() + x + grid.window_x - 1] += sum;
    }
    __syncwarp();
  }

 private:
  float *sums_, *stage_;
  int y_, x_, width_, count_;  // the box of key minus query
  unsigned reciprocal_;
  int first_y_, first_x_;
};

}  // namespace smalti::na2d
