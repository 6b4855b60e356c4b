// What the tiled kernels share, those on tensor cores (mma.h) and those in f32 (patch.h): the tile of a thread block,
// and boxes of tokens in shared memory.
//
// A block owns kTile x kTile tokens of one residue class of one image and head. What those tokens attend to (or are
// attended by) is a box of the class, copied to shared memory token by token: dilation is only address arithmetic.
// Boxes that do not fit are taken in bands of rows.
#pragma once

#include <cstdint>

#include "../geometry.h"
#include "warp.h"

// Copy loops stay rolled: unrolled, their 64-bit addresses would need more registers than the arithmetic.
#ifdef __CUDACC__
#define SMALTI_ROLLED _Pragma("unroll 1")
#else
#define SMALTI_ROLLED
#endif

namespace smalti::na2d {

constexpr int64_t kMostSharedBytes = 99 * 1024;  // a block's limit on sm_86, sm_89 and sm_120
constexpr int kInnerRows = 3;
constexpr int kNowhere = 1 << 30;  // start of a window that no key is in
constexpr float kLog2E = 1.4426950408889634f, kLn2 = 0.6931471805599453f;

// Sizes that every block needs, and what it takes a division to know.
struct TileGrid {
  int height, width;
  int window_y, window_x;
  int shortest_y, shortest_x;  // lengths of classes, one more for the first `longer` residues
  int longer_y, longer_x;
  Divider heads, dilation_y, dilation_x, tiles_y, tiles_x;
  unsigned inner_reciprocal;

  explicit TileGrid(const Na2dShape& s)
      : height(static_cast<int>(s.height)),
        width(static_cast<int>(s.width)),
        window_y(static_cast<int>(s.window_y)),
        window_x(static_cast<int>(s.window_x)),
        shortest_y(static_cast<int>(s.height / s.dilation_y)),
        shortest_x(static_cast<int>(s.width / s.dilation_x)),
        longer_y(static_cast<int>(s.height % s.dilation_y)),
        longer_x(static_cast<int>(s.width % s.dilation_x)),
        heads(static_cast<int>(s.heads)),
        dilation_y(static_cast<int>(s.dilation_y)),
        dilation_x(static_cast<int>(s.dilation_x)),
        tiles_y(ceil_div(longest_y(), kTile)),
        tiles_x(ceil_div(longest_x(), kTile)),
        inner_reciprocal(pitch_reciprocal(inner_pitch())) {}

  int64_t tiles_of_head() const {
    return static_cast<int64_t>(dilation_y.count) * dilation_x.count * tiles_y.count * tiles_x.count;
  }
  int longest_y() const { return shortest_y + (longer_y > 0); }
  int longest_x() const { return shortest_x + (longer_x > 0); }
  SMALTI_HOST_DEVICE int table_pitch() const { return 2 * window_x - 1; }
  SMALTI_HOST_DEVICE int table() const { return (2 * window_y - 1) * table_pitch(); }
  // See BiasTable.
  SMALTI_HOST_DEVICE int inner_pitch() const { return window_x + 2 * (kTile - 1); }
  SMALTI_HOST_DEVICE int inner_table() const { return (window_y + 2 * kInnerRows) * inner_pitch(); }
  SMALTI_HOST_DEVICE int table_room() const { return round_up(larger(table(), inner_table()), 4); }
};

// Tokens that a box and one row of it have at most.
struct Room {
  int tokens, row;
};
inline Room room_for_keys(const TileGrid& grid) {
  const int row = box_pitch(most_keys_of_tile(grid.longest_x(), grid.window_x));
  return {most_keys_of_tile(grid.longest_y(), grid.window_y) * row, row};
}
// The boxes of queries of inner tiles; the larger ones of tiles at borders are taken in bands.
inline Room room_for_queries(const TileGrid& grid) {
  const int most_rows = most_queries_of_tile(grid.longest_y(), grid.window_y);
  const int most_columns = most_queries_of_tile(grid.longest_x(), grid.window_x);
  const int rows = smaller(most_rows, kTile + grid.window_y - 1);
  const int columns = smaller(most_columns, kTile + grid.window_x - 1);
  return {larger(rows * box_pitch(columns), box_pitch(most_columns)), box_pitch(most_columns)};
}
inline int64_t table_bytes(const TileGrid& grid) { return grid.table_room() * static_cast<int64_t>(sizeof(float)); }

// Tokens of a class by rank, in a tensor of type T. Offsets inside an image have 32 bits: see takes_tiles.
template <typename T>
struct ClassView {
  T* first;
  int row, column;  // elements between neighbours

  // Unsigned, for it may be asked of tokens outside the image, which are never touched.
  __device__ __forceinline__ int offset(int y, int x) const {
    return static_cast<int>(static_cast<unsigned>(y) * static_cast<unsigned>(row) +
                            static_cast<unsigned>(x) * static_cast<unsigned>(column));
  }
  __device__ __forceinline__ T* at(int y, int x) const { return first + offset(y, x); }
  __device__ __forceinline__ unsigned byte_offset(int y, int x) const {
    constexpr unsigned kBytes = sizeof(T);
    return static_cast<unsigned>(y) * (static_cast<unsigned>(row) * kBytes) +
           static_cast<unsigned>(x) * (static_cast<unsigned>(column) * kBytes);
  }
};

struct Tile {
  int b, m;
  int residue_y, residue_x, length_y, length_x;
  Range rows, columns;  // ranks

  // Blocks are ordered [B, M, residue y, residue x, tile y, tile x].
  __device__ __forceinline__ Tile(const TileGrid& grid, unsigned index) {
    const int tile_x = grid.tiles_x.take_digit(index), tile_y = grid.tiles_y.take_digit(index);
    residue_x = grid.dilation_x.take_digit(index), residue_y = grid.dilation_y.take_digit(index);
    m = grid.heads.take_digit(index), b = static_cast<int>(index);
    length_y = grid.shortest_y + (residue_y < grid.longer_y), length_x = grid.shortest_x + (residue_x < grid.longer_x);
    rows = {tile_y * kTile, smaller(tile_y * kTile + kTile, length_y)};
    columns = {tile_x * kTile, smaller(tile_x * kTile + kTile, length_x)};
  }

  __device__ __forceinline__ bool empty() const { return rows.first >= rows.end || columns.first >= columns.end; }

  template <typename T>
  __device__ __forceinline__ ClassView<T> view(const TileGrid& grid, T* tensor, const Strides& s) const {
    const int stride_y = static_cast<int>(s.y), stride_x = static_cast<int>(s.x);
    return {tensor + (b * s.b + m * s.m) + (residue_y * stride_y + residue_x * stride_x),
            static_cast<int>(grid.dilation_y.count) * stride_y, static_cast<int>(grid.dilation_x.count) * stride_x};
  }
  // A contiguous [B, H, W, M, channels].
  template <typename T>
  __device__ __forceinline__ ClassView<T> dense_view(const TileGrid& grid, T* tensor, int channels) const {
    const int64_t x = static_cast<int64_t>(grid.heads.count) * channels, y = grid.width * x;
    return view(grid, tensor, Strides{grid.height * y, y, x, channels});
  }
};

// A box of ranks, and its bands of at most `capacity` tokens.
struct Box {
  Range rows, columns;
  int pitch, band_rows;
  unsigned reciprocal;

  __device__ __forceinline__ Box(Range rows, Range columns, int capacity)
      : rows(rows), columns(columns), pitch(box_pitch(columns.end - columns.first)),
        reciprocal(pitch_reciprocal(pitch)) {
    band_rows = rows.end - rows.first;
    if (band_rows * pitch > capacity) band_rows = capacity / pitch;
  }
  __device__ __forceinline__ bool one_band() const { return band_rows == rows.end - rows.first; }
  // Whether the box touches no border of its class: then every window of the tile's tokens, and every inverse one, is
  // centred.
  __device__ __forceinline__ bool inner(const Tile& tile) const {
    return rows.first > 0 && rows.end < tile.length_y && columns.first > 0 && columns.end < tile.length_x;
  }
  __device__ __forceinline__ Range band_at(int row) const { return {row, smaller(row + band_rows, rows.end)}; }
};

// How a family lays tokens out is its Layout: kTokenBytes, whole 16-byte chunks; offset(token, chunk), which repeats
// every 8 tokens but for whole tokens; kThreads of a block; kPast, tokens past the end of a box that are read too;
// kSharedBytes, what a block should take so that enough of them share an SM.
template <typename Layout>
SMALTI_HOST_DEVICE constexpr int box_bytes(int capacity) {
  return (capacity + Layout::kPast) * Layout::kTokenBytes;
}

// Tokens, an even number, that each of two boxes gets room for beside `other_bytes`, and `token_bytes` more for each
// token. Where kSharedBytes would mean many short bands, a block takes all it may.
template <typename Layout>
int box_capacity(Room wanted, int64_t other_bytes, int token_bytes = 0) {
  const auto fit = [&](int64_t bytes) {
    const int64_t tokens = (bytes - other_bytes) / (2 * Layout::kTokenBytes + token_bytes) - Layout::kPast;
    return static_cast<int>(tokens / 2 * 2);
  };
  int capacity = fit(Layout::kSharedBytes);
  if (capacity < larger(wanted.tokens / 6, wanted.row)) capacity = fit(kMostSharedBytes);
  return smaller(capacity, wanted.tokens);
}

// Starts copies of a band of two tensors. Tokens beside the box and the kPast ones past its end become zeros.
template <typename Layout, typename T>
__device__ __forceinline__ void copy_band(unsigned char* shared_a, const ClassView<const T>& a,
                                          unsigned char* shared_b, const ClassView<const T>& b, const Box& box,
                                          Range band) {
  constexpr int kChunks = Layout::kTokenBytes / 16;
  constexpr int kTokens = Layout::kThreads / kChunks;  // at a time
  static_assert(kTokens % 8 == 0, "the layout's period");
  const int inside = (band.end - band.first) * box.pitch, columns = box.columns.end - box.columns.first;
  const int first = threadIdx.x / kChunks, chunk = threadIdx.x % kChunks;
  const auto* from_a = reinterpret_cast<const unsigned char*>(a.at(band.first, box.columns.first)) + chunk * 16;
  const auto* from_b = reinterpret_cast<const unsigned char*>(b.at(band.first, box.columns.first)) + chunk * 16;
  int to = Layout::offset(first, chunk);
  SMALTI_ROLLED
  for (int i = first; i < inside + Layout::kPast; i += kTokens, to += kTokens * Layout::kTokenBytes) {
    const int row = row_in_box(i, box.reciprocal), column = i - row * box.pitch;
    const bool valid = i < inside && column < columns;
    device::copy_async<16>(shared_a + to, from_a + a.byte_offset(row, column), valid);
    device::copy_async<16>(shared_b + to, from_b + b.byte_offset(row, column), valid);
  }
}

// lse (in units of log2) and delta of a band's queries. Tokens beside the box and the `past` ones past its end have
// weights of 0.
__device__ __forceinline__ void copy_statistics(float* lse, float* delta, const ClassView<const float>& all_lse,
                                                const ClassView<const float>& all_delta, const Box& box, Range band,
                                                int past) {
  const int inside = (band.end - band.first) * box.pitch;
  SMALTI_ROLLED
  for (int i = threadIdx.x; i < inside + past; i += blockDim.x) {
    const int row = row_in_box(i, box.reciprocal), column = i - row * box.pitch;
    const bool valid = i < inside && column < box.columns.end - box.columns.first;
    const int from = all_lse.offset(band.first + row, box.columns.first + column);
    lse[i] = valid ? all_lse.first[from] * kLog2E : INFINITY;
    delta[i] = valid ? all_delta.first[from] : 0.0f;
  }
}

// A head's bias in shared memory, in units of log2; zeros where there is none. In inner tiles every window is centred,
// and what a query sees depends on key minus query alone: their table starts at the corner of the window and has -inf
// around it, as far as a warp's tokens are apart, which takes the place of tests. (There an infinite score outside the
// window gives NaN, as infinite values outside it do everywhere: their weight is 0.)
struct BiasTable {
  float* entries;
  int pitch;
  bool inner;

  __device__ __forceinline__ BiasTable(float* shared, const float* bias, const TileGrid& grid, int head, bool inner)
      : entries(shared), pitch(inner ? grid.inner_pitch() : grid.table_pitch()), inner(inner) {
    if (bias) bias += static_cast<int64_t>(head) * grid.table();
    const int count = inner ? grid.inner_table() : grid.table();
    SMALTI_ROLLED
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
      int from = i;
      if (inner) {
        const int row = row_in_box(i, grid.inner_reciprocal);
        const int y = row - kInnerRows, x = i - row * pitch - (kTile - 1);
        const bool seen = static_cast<unsigned>(y) < static_cast<unsigned>(grid.window_y) &&
                          static_cast<unsigned>(x) < static_cast<unsigned>(grid.window_x);
        from = seen ? (y + grid.window_y / 2) * grid.table_pitch() + x + grid.window_x / 2 : -1;
      }
      entries[i] = from < 0 ? -INFINITY : bias ? bias[from] * kLog2E : 0.0f;
    }
  }

  // Of key minus query.
  __device__ __forceinline__ const float* at(int y, int x, const TileGrid& grid) const {
    return inner ? entries + (y + grid.window_y / 2 + kInnerRows) * pitch + x + grid.window_x / 2 + kTile - 1
                 : entries + (y + grid.window_y - 1) * pitch + x + grid.window_x - 1;
  }
};

}  // namespace smalti::na2d
