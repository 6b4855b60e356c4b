// From reference points, offsets and logits to taps: a point's cell, the corners of it inside the level, and the
// weights. The lanes of a group set up a point each and hand the taps round by shuffles.
#pragma once

#include <math.h>

#include "shape.h"

namespace smalti::deform {

template <typename C>
struct Softmax {
  C top, inverse;

  __device__ __forceinline__ C weight(C logit) const { return static_cast<C>(exp(logit - top)) * inverse; }
};

// Sum over the lanes of a group, the same bits in each.
template <int Group, typename C>
__device__ __forceinline__ C group_sum(C value) {
  SMALTI_UNROLL
  for (int mask = Group / 2; mask > 0; mask /= 2) value += device::shuffle_xor(value, mask, Group);
  return value;
}

// logits: [count]; every lane of the group receives the result.
template <int Group, typename C>
__device__ __forceinline__ Softmax<C> find_softmax(const C* logits, int count, int member) {
  C top = -INFINITY;
  SMALTI_UNROLL
  for (int i = member; i < count; i += Group) {
    const C logit = logits[i];
    top = logit > top ? logit : top;
  }
  SMALTI_UNROLL
  for (int mask = Group / 2; mask > 0; mask /= 2) {
    const C other = device::shuffle_xor(top, mask, Group);
    top = other > top ? other : top;
  }
  C total = 0;
  SMALTI_UNROLL
  for (int i = member; i < count; i += Group) total += static_cast<C>(exp(logits[i] - top));
  return {top, C(1) / group_sum<Group>(total)};
}

// Corners: 0 = (y0, x0), 1 = (y0, x0 + 1), 2 = (y0 + 1, x0), 3 = (y0 + 1, x0 + 1).
template <typename C>
struct Tap {
  int row;     // row of corner 0 in the value, wherever that is
  int packed;  // width of the level * 16 + mask of the corners inside it; points outside the level have none
  C x, y;      // fractions of the cell
  C weight;    // attention weight

  __device__ __forceinline__ bool inside() const { return (packed & 15) != 0; }
  __device__ __forceinline__ bool has(int corner) const { return packed >> corner & 1; }
  __device__ __forceinline__ int row_of(int corner) const {
    return row + (corner & 1) + (corner & 2 ? packed >> 4 : 0);
  }

  // Bilinear weights times the attention weight.
  __device__ __forceinline__ void shares(C (&share)[4]) const {
    const C below = y * weight, above = weight - below;
    share[3] = below * x, share[2] = below - share[3];
    share[1] = above * x, share[0] = above - share[1];
  }
};

// reference: x, y of the point's level; offset: x, y of the point.
template <typename C>
__device__ __forceinline__ Tap<C> find_tap(const Level& level, const C* reference, const C* offset, C weight) {
  const C width = static_cast<C>(level.width), height = static_cast<C>(level.height);
  const C x = reference[0] * width - C(0.5) + offset[0];
  const C y = reference[1] * height - C(0.5) + offset[1];
  // Written so that NaN and values beyond the integers fail it.
  if (!(x > C(-1) && y > C(-1) && x < width && y < height)) return {0, 0, C(0), C(0), weight};
  const C floor_x = static_cast<C>(floor(x)), floor_y = static_cast<C>(floor(y));
  const int x0 = static_cast<int>(floor_x), y0 = static_cast<int>(floor_y);
  const int left = x0 >= 0, right = x0 + 1 < level.width, above = y0 >= 0, below = y0 + 1 < level.height;
  const int mask = (above & left) | (above & right) << 1 | (below & left) << 2 | (below & right) << 3;
  return {level.start + y0 * level.width + x0, level.width * 16 + mask, x - floor_x, y - floor_y, weight};
}

// Elements between the map of a (image, head) and a corner of a tap.
template <typename C>
__device__ __forceinline__ int64_t corner_offset(const Tap<C>& tap, int corner, const Shape& s) {
  return static_cast<int64_t>(tap.row_of(corner)) * s.value_s;
}

// The tap that lane `from` of the group holds.
template <int Group, typename C>
__device__ __forceinline__ Tap<C> hand_round(const Tap<C>& own, int from) {
  return {device::shuffle(own.row, from, Group), device::shuffle(own.packed, from, Group),
          device::shuffle(own.x, from, Group), device::shuffle(own.y, from, Group),
          device::shuffle(own.weight, from, Group)};
}

// The points of a (query, head), each by the lane that sets it up.
template <typename C>
struct Points {
  const C* reference;  // [L, 2]
  const C* offsets;    // [L, P, 2]
  const C* logits;     // [L * P]
  Softmax<C> softmax;

  __device__ __forceinline__ Tap<C> tap(const Shape& s, int i, int count) const {
    if (i >= count) return {0, 0, C(0), C(0), C(0)};
    const int l = s.level_of(i);
    return find_tap(s.level[l], reference + 2 * l, offsets + 2 * i, softmax.weight(logits[i]));
  }
};

template <int Group, typename C>
__device__ __forceinline__ Points<C> points_of(const Shape& s, const Place& at, int count, int member,
                                               const C* reference, const C* offsets, const C* logits) {
  Points<C> points;
  points.reference = reference + at.query * s.levels * 2;
  points.offsets = offsets + at.row * count * 2;
  points.logits = logits + at.row * count;
  points.softmax = find_softmax<Group>(points.logits, count, member);
  return points;
}

}  // namespace smalti::deform
