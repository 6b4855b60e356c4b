// What the f32 kernels share. A group of lanes owns a patch of 2 x 2 tokens of the block's tile, in registers, every
// lane some of their channels; what the patch attends to (or is attended by) is a walk over the box, kTaken tokens at
// a time. So what is read of the box serves four tokens, at the price of products outside their windows: of the 8 x 8
// keys in the union of four 7 x 7 windows, each query sees 49.
//
// The products of a patch with kTaken tokens are kProducts sums over the group's lanes. The lanes halve them among
// each other while they add: each ends up with the same number of finished sums, all of one token of the patch.
#pragma once

#include <cstdint>

#include "tile.h"

namespace smalti::na2d {

constexpr int kPatch = 4;
constexpr int kPatches = kTile * kTile / kPatch;
constexpr int kTaken = 4;
constexpr int kProducts = kPatch * kTaken;

// Tokens in shared memory are rows of 16-byte chunks of 4 channels. A group reads kLanes chunks in a row; a quarter of
// a warp that has several groups reads tokens two apart, as neighbouring patches are: their chunks share no banks.
template <int D>
struct FloatBox {
  static_assert(D == 16 || D == 32 || D == 64 || D == 128, "rows that the order of chunks is made for");
  static constexpr int kLanes = D == 16 ? 4 : D / 8;  // of a group
  static constexpr int kParts = D / 4 / kLanes;       // chunks of a token that a lane has: every kLanes-th
  static constexpr int kOwn = kProducts / kLanes;     // finished sums of a lane
  static constexpr int kThreads = kPatches * kLanes;
  static constexpr int kTokenBytes = D * 4;
  static constexpr int kPast = 0;
  static constexpr int64_t kSharedBytes = 49 * 1024;  // two blocks on an SM of sm_86, sm_89 and sm_120

  SMALTI_HOST_DEVICE static int offset(int token, int chunk) {
    const int pair = token >> 1 & 1;
    if (D == 16) token ^= pair;
    if (D == 32) chunk ^= pair << 2;
    return token * kTokenBytes + (chunk << 4);
  }
};

// Blocks of D's size that fill an SM's registers at `Registers` a thread: 128, 168 or 255, which is 4, 3 or 2 warps on
// each of its four parts.
template <int D, int Registers>
constexpr int kBlocks = 65536 / (FloatBox<D>::kThreads * Registers);

template <int D>
struct Patch {
  int lane;             // of the group
  int y, x;             // ranks of the first token
  Range rows, columns;  // those inside the tile; both empty if there are none

  __device__ __forceinline__ explicit Patch(const Tile& tile) : lane(threadIdx.x % FloatBox<D>::kLanes) {
    const int index = threadIdx.x / FloatBox<D>::kLanes;
    y = tile.rows.first + index / (kTile / 2) * 2, x = tile.columns.first + index % (kTile / 2) * 2;
    rows = {y, smaller(y + 2, tile.rows.end)}, columns = {x, smaller(x + 2, tile.columns.end)};
    if (rows.first >= rows.end || columns.first >= columns.end) rows.end = rows.first, columns.end = columns.first;
  }

  __device__ __forceinline__ bool empty() const { return rows.first == rows.end; }
  // Token r is row r / 2, column r % 2.
  __device__ __forceinline__ bool inside(int r) const { return y + r / 2 < rows.end && x + r % 2 < columns.end; }
  // This lane's finished sums are those of token own() with kOwn taken tokens from own_first() on.
  __device__ __forceinline__ int own() const { return lane % kPatch; }
  __device__ __forceinline__ int own_first() const { return lane / kPatch * FloatBox<D>::kOwn; }
};

// A lane's channels of a patch's tokens.
template <int D>
struct PatchRows {
  static constexpr int kParts = FloatBox<D>::kParts;

  float4 part[kPatch][kParts];

  __device__ __forceinline__ PatchRows() {
    SMALTI_UNROLL
    for (int r = 0; r < kPatch; ++r) {
      SMALTI_UNROLL
      for (int p = 0; p < kParts; ++p) part[r][p] = make_float4(0, 0, 0, 0);
    }
  }
  // Zeros for tokens outside the tile.
  __device__ __forceinline__ PatchRows(const ClassView<const float>& tokens, const Patch<D>& at) : PatchRows() {
    SMALTI_UNROLL
    for (int r = 0; r < kPatch; ++r) {
      if (!at.inside(r)) continue;
      const float* from = tokens.at(at.y + r / 2, at.x + r % 2) + at.lane * 4;
      SMALTI_UNROLL
      for (int p = 0; p < kParts; ++p) part[r][p] = device::load_const<float4>(from + p * FloatBox<D>::kLanes * 4);
    }
  }

  __device__ __forceinline__ void scale(int r, float by) {
    SMALTI_UNROLL
    for (int p = 0; p < kParts; ++p) part[r][p].x *= by, part[r][p].y *= by, part[r][p].z *= by, part[r][p].w *= by;
  }
  __device__ __forceinline__ void store(const ClassView<float>& tokens, const Patch<D>& at) const {
    SMALTI_UNROLL
    for (int r = 0; r < kPatch; ++r) {
      if (!at.inside(r)) continue;
      float* to = tokens.at(at.y + r / 2, at.x + r % 2) + at.lane * 4;
      SMALTI_UNROLL
      for (int p = 0; p < kParts; ++p) device::store<float4>(to + p * FloatBox<D>::kLanes * 4, part[r][p]);
    }
  }
};

__device__ __forceinline__ float dot(float sum, const float4& a, const float4& b) {
  return fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, fmaf(a.x, b.x, sum))));
}
__device__ __forceinline__ void add_scaled(float4& sum, float by, const float4& a) {
  sum.x = fmaf(by, a.x, sum.x), sum.y = fmaf(by, a.y, sum.y);
  sum.z = fmaf(by, a.z, sum.z), sum.w = fmaf(by, a.w, sum.w);
}

struct Rank {
  int y, x;
};

// A rectangle of a band's tokens by number, row by row.
struct Walk {
  int y, x;  // ranks of its first token
  int columns, count;
  unsigned reciprocal;
  int first, pitch;  // in the box

  __device__ __forceinline__ Walk(Range rows, Range wanted_columns, const Box& box, Range band)
      : y(larger(rows.first, band.first)), x(wanted_columns.first),
        columns(larger(wanted_columns.end - wanted_columns.first, 1)), reciprocal(pitch_reciprocal(columns)),
        pitch(box.pitch) {
    count = larger(smaller(rows.end, band.end) - y, 0) * columns;
    first = count > 0 ? (y - band.first) * pitch + x - box.columns.first : 0;
  }

  __device__ __forceinline__ Rank rank(int number) const {
    const int row = row_in_box(number, reciprocal);
    return {y + row, x + number - row * columns};
  }
  // Past the walk's end, its first token, so that what is read is always one of the box.
  __device__ __forceinline__ int token(int i) const {
    const int number = i < count ? i : 0, row = row_in_box(number, reciprocal);
    return first + row * pitch + number - row * columns;
  }
  // Steps for the longest walk of the warp, whose groups take part in shuffles together.
  __device__ __forceinline__ int end() const { return lanes_max<device::kWarp>(count); }
};

// kTaken tokens of a box, and a lane's place in its rows.
template <int D>
struct Taken {
  int row[kTaken][FloatBox<D>::kParts];

  __device__ __forceinline__ Taken(const Walk& walk, int base, const Patch<D>& at) {
    SMALTI_UNROLL
    for (int j = 0; j < kTaken; ++j) {
      const int token = walk.token(base + j);
      SMALTI_UNROLL
      for (int p = 0; p < FloatBox<D>::kParts; ++p)
        row[j][p] = FloatBox<D>::offset(token, p * FloatBox<D>::kLanes + at.lane);
    }
  }
};

template <int Lane, int Count>
__device__ __forceinline__ void halve(float (&sums)[kProducts], int lane) {
  const bool upper = lane & Lane;
  SMALTI_UNROLL
  for (int i = 0; i < Count; ++i) {
    const float given = upper ? sums[i] : sums[i + Count];
    sums[i] = (upper ? sums[i + Count] : sums[i]) + device::shuffle_xor(given, Lane);
  }
}

// own[i] = rows[at.own()] . taken token at.own_first() + i, over all channels.
template <int D>
__device__ __forceinline__ void multiply(float (&own)[FloatBox<D>::kOwn], const PatchRows<D>& rows,
                                         const unsigned char* box, const Taken<D>& taken, const Patch<D>& at) {
  constexpr int kLanes = FloatBox<D>::kLanes;
  float sums[kProducts] = {};  // [token of the patch, taken token]
  SMALTI_UNROLL
  for (int j = 0; j < kTaken; ++j) {
    SMALTI_UNROLL
    for (int p = 0; p < FloatBox<D>::kParts; ++p) {
      const float4 other = device::load<float4>(box + taken.row[j][p]);
      SMALTI_UNROLL
      for (int r = 0; r < kPatch; ++r) sums[r * kTaken + j] = dot(sums[r * kTaken + j], rows.part[r][p], other);
    }
  }
  halve<2, 8>(sums, at.lane), halve<1, 4>(sums, at.lane);  // bits 3 and 2 of an index: the token of the patch
  if constexpr (kLanes == 8) halve<4, 2>(sums, at.lane);
  if constexpr (kLanes == 16) halve<8, 2>(sums, at.lane), halve<4, 1>(sums, at.lane);
  SMALTI_UNROLL
  for (int i = 0; i < FloatBox<D>::kOwn; ++i) own[i] = sums[i];
}

// rows[r] += sum over taken tokens j of what the owner of (r, j) has in `own` times token j.
template <int D>
__device__ __forceinline__ void add_weighted(PatchRows<D>& rows, const float (&own)[FloatBox<D>::kOwn],
                                             const unsigned char* box, const Taken<D>& taken) {
  constexpr int kOwn = FloatBox<D>::kOwn;
  SMALTI_UNROLL
  for (int j = 0; j < kTaken; ++j) {
    float weights[kPatch];
    SMALTI_UNROLL
    for (int r = 0; r < kPatch; ++r)
      weights[r] = device::shuffle(own[j % kOwn], r + j / kOwn * kPatch, FloatBox<D>::kLanes);
    SMALTI_UNROLL
    for (int p = 0; p < FloatBox<D>::kParts; ++p) {
      const float4 other = device::load<float4>(box + taken.row[j][p]);
      SMALTI_UNROLL
      for (int r = 0; r < kPatch; ++r) add_scaled(rows.part[r][p], weights[r], other);
    }
  }
}

// Stage of the bias gradient, in shared memory: gradients of the scores of a tile's queries, [kTile, kTile, Ky, Kx] by
// query and key of its window.
inline int64_t stage_bytes(const TileGrid& grid) {
  return kTile * kTile * grid.window_y * grid.window_x * static_cast<int64_t>(sizeof(float));
}

// A lane's query and its window; no key is in that of a query outside the tile.
struct OwnQuery {
  int y, x, start_y, start_x;

  template <int D>
  __device__ __forceinline__ OwnQuery(const Patch<D>& at, const Tile& tile, const TileGrid& grid)
      : y(at.y + at.own() / 2), x(at.x + at.own() % 2) {
    start_y = at.inside(at.own()) ? window_start(y, tile.length_y, grid.window_y) : kNowhere;
    start_x = window_start(x, tile.length_x, grid.window_x);
  }

  __device__ __forceinline__ bool sees(const Rank& key, const TileGrid& grid) const {
    return static_cast<unsigned>(key.y - start_y) < static_cast<unsigned>(grid.window_y) &&
           static_cast<unsigned>(key.x - start_x) < static_cast<unsigned>(grid.window_x);
  }
};

}  // namespace smalti::na2d
