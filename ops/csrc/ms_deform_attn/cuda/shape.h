// Shapes as kernels take them, and how the threads of a grid are laid over (image, query, head).
#pragma once

#include <climits>
#include <cstdint>

#include "../../cuda/device.h"
#include "../cpu/kernel.h"

namespace smalti::deform {

constexpr int kInvalidValue = 1;          // cudaErrorInvalidValue
constexpr int kInvalidConfiguration = 9;  // cudaErrorInvalidConfiguration
constexpr int kThreads = 128;

struct Level {
  int width, height, start;
};

// A kernel's parameter, so no pointers to host memory. With all levels it stays below the 4 KiB that a launch carries.
struct Shape {
  int64_t value_b, value_m;  // strides in elements
  int value_s;
  int positions, queries, heads, head_dim, levels, points;
  int level_factor;  // ceil(2^16 / points)
  Level level[kDeformMaxPoints];

  // point / points without a division; exact since both stay within 256.
  SMALTI_HOST_DEVICE int level_of(int point) const { return point * level_factor >> 16; }
};

// False where a row, its stride, a query or a packed width (see taps.h) does not fit 32 bits, or where levels leave
// gaps.
inline bool to_device_shape(const DeformShape& s, Shape* to) {
  constexpr int64_t kMaxWidth = int64_t{1} << 26;
  const bool fits = s.positions <= INT_MAX && s.value_s <= INT_MAX && s.queries <= INT_MAX / 2 &&
                    s.heads <= INT_MAX && s.head_dim >= 1 && s.head_dim <= kDeformMaxHeadDim && s.levels >= 1 &&
                    s.points >= 1 && s.levels * s.points <= kDeformMaxPoints;
  if (!fits) return false;
  const auto narrow = [](int64_t x) { return static_cast<int>(x); };
  *to = {s.value_b, s.value_m, narrow(s.value_s), narrow(s.positions), narrow(s.queries), narrow(s.heads),
         narrow(s.head_dim), narrow(s.levels), narrow(s.points), narrow((65536 + s.points - 1) / s.points), {}};
  int64_t start = 0;
  for (int64_t l = 0; l < s.levels; ++l) {
    const DeformLevel& level = s.level[l];
    if (level.start != start || level.width < 1 || level.height < 1 || level.width >= kMaxWidth ||
        level.height > s.positions)
      return false;
    to->level[l] = {narrow(level.width), narrow(level.height), narrow(start)};
    start += level.width * level.height;
    if (start > s.positions) return false;
  }
  return start == s.positions;
}

// How a group of lanes shares the channels of one (query, head): 16 bytes each, or for D = 0 (any head dim) one channel
// each of 32 at a time.
template <typename T, int D>
struct Lanes {
  static constexpr int kChannels = D > 0 ? 16 / static_cast<int>(sizeof(T)) : 1;
  static constexpr int kGroup = D > 0 ? D / kChannels : device::kWarp;
  static constexpr int kRows = kThreads / kGroup;  // queries of a block
};

// A block works on neighbouring queries of one head, whose corners meet in L1; blocks of all heads come before those of
// the next queries, since their offsets and logits share cache lines.
struct Place {
  int64_t image;
  int64_t query;  // of all images, [B * Q]
  int64_t row;    // [B, Q, M]
  int head;
  bool active;  // lanes beyond the last query follow it, for the shuffles, and store nothing
};

template <int Rows>
__device__ __forceinline__ Place place_of(const Shape& s, int group) {
  const int tiles = (s.queries + Rows - 1) / Rows;
  const int head = static_cast<int>(blockIdx.x % static_cast<unsigned>(s.heads));
  const int tile = static_cast<int>(blockIdx.x / static_cast<unsigned>(s.heads));
  const int64_t image = tile / tiles;
  const int64_t query = static_cast<int64_t>(tile % tiles) * Rows + group;
  const bool active = query < s.queries;
  const int64_t of_all = image * s.queries + (active ? query : s.queries - 1);
  return {image, of_all, of_all * s.heads + head, head, active};
}

inline int64_t blocks_of(int64_t batch, const Shape& s, int rows) {
  return batch * ((s.queries + rows - 1) / rows) * s.heads;
}

// One-dimensional grids.
template <typename... Parameters, typename... Arguments>
int launch_blocks(void (*kernel)(Parameters...), int64_t blocks, int threads, size_t shared_bytes, void* stream,
                  const Arguments&... arguments) {
  if (blocks == 0) return 0;
  if (blocks > INT_MAX) return kInvalidConfiguration;
  return device::launch(kernel, dim3(static_cast<unsigned>(blocks)), dim3(static_cast<unsigned>(threads)),
                        shared_bytes, stream, arguments...);
}

}  // namespace smalti::deform
