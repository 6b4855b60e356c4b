// What the tensor-core kernels share: the tile of a thread block, and boxes of tokens in shared memory.
//
// A block owns kTile x kTile tokens of one residue class of one image and head; each of its warps owns two rows of
// them, the 16 rows of an mma. What those tokens attend to (or are attended by) is a box of the class, copied to shared
// memory token by token: dilation is only address arithmetic. Boxes that do not fit are taken in bands of rows.
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

constexpr int kTileWarps = kTile / 2;
constexpr int kStep = 16;                           // tokens of the box in one mma
constexpr int64_t kMostSharedBytes = 99 * 1024;     // a block's limit on sm_86, sm_89 and sm_120
constexpr int kInnerRows = 3;
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

// The two tokens of a lane in its warp's 16 rows, `lane / 4` and `lane / 4 + 8` of them: one column, rows y and y + 1.
struct LaneTokens {
  int y, x;
  bool inside[2];  // the tile

  __device__ __forceinline__ LaneTokens(const Tile& tile, int warp)
      : y(tile.rows.first + 2 * warp), x(tile.columns.first + device::lane() / 4) {
    inside[0] = y < tile.rows.end && x < tile.columns.end;
    inside[1] = y + 1 < tile.rows.end && x < tile.columns.end;
  }
};

__device__ __forceinline__ Range warp_rows(const Tile& tile, int warp) {
  const int first = tile.rows.first + 2 * warp;
  return {first, smaller(first + 2, tile.rows.end)};
}

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

// Tokens in shared memory are rows of 16-byte chunks. Chunks are permuted within rows so that neither 8 rows' one chunk
// (ldmatrix) nor two rows' four chunks (loads of 16 bytes by a quarter of a warp) share banks. The permutation repeats
// every 8 rows; rows may start at any even token.
template <int D>
__device__ __forceinline__ int chunk_offset(int token, int chunk) {
  static_assert(D == 32 || D == 64, "chunks of 8 halves, 4 or 8 of them");
  const int permutation = D == 32 ? token >> 1 & 3 : (token & 1) << 2 | (token >> 1 & 3);
  return token * D * 2 + ((chunk ^ permutation) << 4);
}

template <int D>
SMALTI_HOST_DEVICE constexpr int box_bytes(int capacity) {  // an mma may read up to kStep tokens past a box's end
  return (capacity + kStep) * D * 2;
}

// Whether every box of keys fits as a whole beside 40 KiB: loops over bands then take no registers.
template <int D>
constexpr bool kOneBand = D == 32;
static_assert(2 * box_bytes<32>(20 * 20) <= kMostSharedBytes - 40 * 1024, "windows of 13 x 13");

// Starts copies of a band of two tensors. Tokens beside the box and the kStep past its end become zeros.
template <int D, typename T>
__device__ __forceinline__ void copy_band(unsigned char* shared_a, const ClassView<const T>& a,
                                          unsigned char* shared_b, const ClassView<const T>& b, const Box& box,
                                          Range band) {
  constexpr int kChunks = D / 8;
  constexpr int kTokens = kTileWarps * device::kWarp / kChunks;  // at a time; the permutation of chunks is the same
  const int inside = (band.end - band.first) * box.pitch, columns = box.columns.end - box.columns.first;
  const int first = threadIdx.x / kChunks, chunk = threadIdx.x % kChunks;
  const auto* from_a = reinterpret_cast<const unsigned char*>(a.at(band.first, box.columns.first) + chunk * 8);
  const auto* from_b = reinterpret_cast<const unsigned char*>(b.at(band.first, box.columns.first) + chunk * 8);
  int to = chunk_offset<D>(first, chunk);
  SMALTI_ROLLED
  for (int i = first; i < inside + kStep; i += kTokens, to += kTokens * D * 2) {
    const int row = row_in_box(i, box.reciprocal), column = i - row * box.pitch;
    const bool valid = i < inside && column < columns;
    device::copy_async<16>(shared_a + to, from_a + a.byte_offset(row, column), valid);
    device::copy_async<16>(shared_b + to, from_b + b.byte_offset(row, column), valid);
  }
}

// Where a lane reads a box, from token `first` on; later tokens at multiples of 8 add whole rows.
template <int D>
struct BoxReader {
  int rows[D / 32];     // its part of B[channel][token]: channels 8t to 8t + 7 of each 32 of token g
  int columns[D / 16];  // its row for B[token][channel] by ldmatrix: two chunks of 16 tokens at a time

  __device__ __forceinline__ explicit BoxReader(int first) {
    const int lane = device::lane();
    SMALTI_UNROLL
    for (int i = 0; i < D / 32; ++i) rows[i] = chunk_offset<D>(first + lane / 4, 4 * i + lane % 4);
    SMALTI_UNROLL
    for (int i = 0; i < D / 16; ++i) columns[i] = chunk_offset<D>(first + lane % 16, 2 * i + lane / 16);
  }
};

// A of a warp's 16 tokens over the channels. A sum over channels may take them in any order: thread t of a quad has
// channels 8t to 8t + 7 of each 32, which load as 16 bytes, on this side as on the other one.
template <int D>
struct TokenRows {
  uint4 part[2][D / 32];

  template <typename T>
  __device__ __forceinline__ TokenRows(const ClassView<const T>& tokens, const LaneTokens& at) {
    SMALTI_UNROLL
    for (int r = 0; r < 2; ++r) {
      const T* from = tokens.at(at.y + r, at.x) + device::lane() % 4 * 8;
      SMALTI_UNROLL
      for (int i = 0; i < D / 32; ++i)
        part[r][i] = at.inside[r] ? device::load_const<uint4>(from + i * 32) : make_uint4(0, 0, 0, 0);
    }
  }
};

// c [16 tokens, 8 tokens of the box] += rows . box^T; `box` is the address that reader.rows are relative to.
template <typename T, int D>
__device__ __forceinline__ void add_scores(float (&c)[4], const TokenRows<D>& rows, const unsigned char* box,
                                           const BoxReader<D>& reader) {
  SMALTI_UNROLL
  for (int i = 0; i < D / 32; ++i) {
    const uint4 other = device::load<uint4>(box + reader.rows[i]);
    const uint4 &low = rows.part[0][i], &high = rows.part[1][i];
    device::mma<T>(c, {low.x, high.x, low.y, high.y}, {other.x, other.y});
    device::mma<T>(c, {low.z, high.z, low.w, high.w}, {other.z, other.w});
  }
}

// Two blocks of 8 columns of accumulators as the A of the next product, in halves.
template <typename T>
__device__ __forceinline__ void to_operand(uint32_t (&a)[4], const float (&left)[4], const float (&right)[4]) {
  a[0] = device::pack<T>(left[0], left[1]), a[1] = device::pack<T>(left[2], left[3]);
  a[2] = device::pack<T>(right[0], right[1]), a[3] = device::pack<T>(right[2], right[3]);
}

// c [16 tokens, D] += a [16 tokens, 16 tokens of the box] . box
template <typename T, int D>
__device__ __forceinline__ void add_weighted(float (&c)[D / 8][4], const uint32_t (&a)[4], const unsigned char* box,
                                             const BoxReader<D>& reader) {
  SMALTI_UNROLL
  for (int i = 0; i < D / 16; ++i) {
    uint32_t b[4];
    device::load_matrix_x4_transposed(b, box + reader.columns[i]);
    device::mma<T>(c[2 * i], a, {b[0], b[1]});
    device::mma<T>(c[2 * i + 1], a, {b[2], b[3]});
  }
}

// Transposes a 4 x 4 matrix whose row i thread i of a quad holds.
__device__ __forceinline__ void transpose_in_quad(uint32_t (&r)[4]) {
  const bool odd = device::lane() & 1, upper = device::lane() & 2;
  SMALTI_UNROLL
  for (int i = 0; i < 4; i += 2) {
    const uint32_t got = device::shuffle_xor(odd ? r[i] : r[i + 1], 1);
    (odd ? r[i] : r[i + 1]) = got;
  }
  SMALTI_UNROLL
  for (int i = 0; i < 2; ++i) {
    const uint32_t got = device::shuffle_xor(upper ? r[i] : r[i + 2], 2);
    (upper ? r[i] : r[i + 2]) = got;
  }
}

// Writes accumulators [16 tokens, D], row r of a lane times factor[r] to `to + r * row`, in runs of 16 bytes.
template <int D, typename T>
__device__ __forceinline__ void store_rows(T* to, int row, const bool (&inside)[2], const float (&c)[D / 8][4],
                                           const float (&factor)[2]) {
  SMALTI_UNROLL
  for (int r = 0; r < 2; ++r) {
    SMALTI_UNROLL
    for (int i = 0; i < D / 32; ++i) {
      uint32_t packed[4];
      SMALTI_UNROLL
      for (int j = 0; j < 4; ++j) {
        const float(&block)[4] = c[4 * i + j];
        packed[j] = device::pack<T>(block[2 * r] * factor[r], block[2 * r + 1] * factor[r]);
      }
      transpose_in_quad(packed);
      if (inside[r])
        device::store<uint4>(to + r * row + i * 32 + device::lane() % 4 * 8,
                             make_uint4(packed[0], packed[1], packed[2], packed[3]));
    }
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
    for (int i = threadIdx.x; i < count; i += kTileWarps * device::kWarp) {
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

// Tokens that two boxes have room for beside `other_bytes` and `token_bytes` more for each, at most `wanted`.
template <int D>
int box_capacity(int wanted, int64_t other_bytes, int token_bytes = 0) {
  const int64_t fit = (kMostSharedBytes - other_bytes) / (2 * D * 2 + token_bytes) - kStep;
  return static_cast<int>(fit < wanted ? fit : wanted);
}

}  // namespace smalti::na2d
