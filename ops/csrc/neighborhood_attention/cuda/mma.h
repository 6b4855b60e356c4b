// What the tensor-core kernels share. Each warp of a block owns two rows of its tile, the 16 rows of an mma; tokens of
// the box are the other side of the products, kStep at a time.
#pragma once

#include <cstdint>
#include <type_traits>

#include "tile.h"

namespace smalti::na2d {

constexpr int kTileWarps = kTile / 2;
constexpr int kStep = 16;

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

// Tokens in shared memory are rows of 16-byte chunks. Chunks are permuted within rows so that neither 8 rows' one chunk
// (ldmatrix) nor what a quarter of a warp reads of rows side by side (BoxReader::rows) shares banks. The permutation
// repeats every 8 rows; rows may start at any even token.
template <int D>
struct HalfBox {
  static_assert(D == 16 || D == 32 || D == 64 || D == 128, "rows that the permutation is made for");
  static constexpr int kTokenBytes = D * 2;
  static constexpr int kThreads = kTileWarps * device::kWarp;
  static constexpr int kPast = kStep;  // an mma may read up to that many tokens past a box's end
  // Boxes of 128 channels come in bands anyway: two blocks share the 164 KiB of an SM of sm_80.
  static constexpr int64_t kSharedBytes = D == 128 ? 80 * 1024 : kMostSharedBytes;

  SMALTI_HOST_DEVICE static int offset(int token, int chunk) {
    const int permutation = D == 16   ? token >> 2 & 1
                            : D == 32 ? token >> 1 & 3
                                      : (token & 1) << 2 | (token >> 1 & 3);
    return token * kTokenBytes + ((chunk ^ permutation) << 4);
  }
};

// Whether every box of keys fits as a whole beside 40 KiB: loops over bands then take no registers.
template <int D>
constexpr bool kOneBand = D <= 32;
static_assert(2 * box_bytes<HalfBox<32>>(20 * 20) <= kMostSharedBytes - 40 * 1024, "windows of 13 x 13");

// Where a lane reads a box, from token `first` on; later tokens at multiples of 8 add whole rows.
template <int D>
class BoxReader {
 public:
  __device__ __forceinline__ explicit BoxReader(int first) {
    const int lane = device::lane();
    SMALTI_UNROLL
    for (int i = 0; i < kRows; ++i)
      rows_[i] = D == 16 ? HalfBox<D>::offset(first + lane / 4, lane % 4 / 2) + lane % 2 * 8
                         : HalfBox<D>::offset(first + lane / 4, 4 * i + lane % 4);
    SMALTI_UNROLL
    for (int i = 0; i < kColumns; ++i) columns_[i] = HalfBox<D>::offset(first + lane % 16, 2 * i + lane / 16);
  }

  // Its Part of B[channel][token], of token g: see TokenRows.
  __device__ __forceinline__ int row(int i) const { return rows_[i % kRows] + i / kRows * kPeriod; }
  // Its row for B[token][channel] by ldmatrix: two chunks of 16 tokens at a time.
  __device__ __forceinline__ int column(int i) const { return columns_[i % kColumns] + i / kColumns * kPeriod; }

 private:
  static constexpr int kPeriod = 128;  // bytes of a row in which chunks are permuted
  static constexpr int kRows = D <= 32 ? 1 : 2, kColumns = D <= 64 ? D / 16 : 4;

  int rows_[kRows], columns_[kColumns];
};

// A of a warp's 16 tokens over the channels. A sum over channels may take them in any order: thread t of a quad has
// channels 8t to 8t + 7 of each 32, which load as 16 bytes, on this side as on the other one. (4t to 4t + 3 of 16.)
template <int D>
struct TokenRows {
  using Part = std::conditional_t<D == 16, uint2, uint4>;
  static constexpr int kParts = D == 16 ? 1 : D / 32;

  Part part[2][kParts];

  template <typename T>
  __device__ __forceinline__ TokenRows(const ClassView<const T>& tokens, const LaneTokens& at) {
    SMALTI_UNROLL
    for (int r = 0; r < 2; ++r) {
      const T* from = tokens.at(at.y + r, at.x) + device::lane() % 4 * (sizeof(Part) / sizeof(T));
      SMALTI_UNROLL
      for (int i = 0; i < kParts; ++i) part[r][i] = at.inside[r] ? device::load_const<Part>(from + i * 32) : Part{};
    }
  }

  __device__ __forceinline__ const Part& at(int r, int i) const { return part[r][i]; }
};

// TokenRows that do not fit into registers: every lane keeps its own ones in shared memory, of kBytes in all.
template <int D>
class StoredRows {
 public:
  using Part = typename TokenRows<D>::Part;
  static constexpr int kBytes = 2 * TokenRows<D>::kParts * HalfBox<D>::kThreads * static_cast<int>(sizeof(Part));

  template <typename T>
  __device__ __forceinline__ StoredRows(unsigned char* shared, const ClassView<const T>& tokens, const LaneTokens& at)
      : first_(shared + threadIdx.x * sizeof(Part)) {
    const TokenRows<D> rows(tokens, at);
    SMALTI_UNROLL
    for (int i = 0; i < 2 * TokenRows<D>::kParts; ++i) device::store<Part>(slot(i), rows.part[i % 2][i / 2]);
  }

  __device__ __forceinline__ Part at(int r, int i) const { return device::load_shared_again(slot(2 * i + r)); }

 private:
  __device__ __forceinline__ unsigned char* slot(int i) const {
    return first_ + i * (HalfBox<D>::kThreads * static_cast<int>(sizeof(Part)));
  }

  unsigned char* first_;
};

// Keys, values and the gradients of both, of 128 channels, are more than the registers hold.
template <int D>
constexpr bool kStoresRows = D == 128;
template <int D>
constexpr int kStoredBytes = kStoresRows<D> ? StoredRows<D>::kBytes : 0;

// c [16 tokens, 8 tokens of the box] += rows . box^T; `box` is the address that the reader's rows are relative to. Rows
// are TokenRows or StoredRows.
template <typename T, int D, typename Rows>
__device__ __forceinline__ void add_scores(float (&c)[4], const Rows& rows, const unsigned char* box,
                                           const BoxReader<D>& reader) {
  using Part = typename TokenRows<D>::Part;
  SMALTI_UNROLL
  for (int i = 0; i < TokenRows<D>::kParts; ++i) {
    const Part other = device::load<Part>(box + reader.row(i));
    const Part low = rows.at(0, i), high = rows.at(1, i);
    device::mma<T>(c, {low.x, high.x, low.y, high.y}, {other.x, other.y});
    if constexpr (D > 16) device::mma<T>(c, {low.z, high.z, low.w, high.w}, {other.z, other.w});
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
    device::load_matrix_x4_transposed(b, box + reader.column(i));
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
  const int t = device::lane() % 4;
  const auto pair = [&](const float(&block)[4], int r) {
    return device::pack<T>(block[2 * r] * factor[r], block[2 * r + 1] * factor[r]);
  };
  if constexpr (D == 16) {  // two runs a row: a quad writes both rows at once
    uint32_t packed[4] = {pair(c[0], 0), pair(c[1], 0), pair(c[0], 1), pair(c[1], 1)};
    transpose_in_quad(packed);
    if (t < 2 ? inside[0] : inside[1])
      device::store<uint4>(to + t / 2 * row + t % 2 * 8, make_uint4(packed[0], packed[1], packed[2], packed[3]));
  } else {
    SMALTI_UNROLL
    for (int r = 0; r < 2; ++r) {
      SMALTI_UNROLL
      for (int i = 0; i < D / 32; ++i) {
        uint32_t packed[4] = {pair(c[4 * i], r), pair(c[4 * i + 1], r), pair(c[4 * i + 2], r), pair(c[4 * i + 3], r)};
        transpose_in_quad(packed);
        if (inside[r])
          device::store<uint4>(to + r * row + i * 32 + t * 8,
                               make_uint4(packed[0], packed[1], packed[2], packed[3]));
      }
    }
  }
}

}  // namespace smalti::na2d
