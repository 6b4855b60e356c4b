// One warp per token: the kernels of every type, head dimension and alignment. Groups of 8 lanes take a key (or a
// query) each, their lanes striding its channels, so that loads of a group are one run of memory; sums of weighted rows
// have a lane per channel.
#pragma once

#include "../geometry.h"
#include "warp.h"

namespace smalti::na2d {

// `unit_partials` [B, M, per_token_bias_units, 2Ky-1, 2Kx-1] is nullptr when no bias gradient is wanted; delta [B, H,
// W, M].
template <typename T>
int per_token_forward(const Na2dForward<T>& args, void* stream);
template <typename T>
int per_token_backward(const Na2dBackward<T>& args, Compute<T>* delta, Compute<T>* unit_partials, void* stream);

constexpr int kTokensPerBiasUnit = 64;  // consecutive queries of one image and head
inline int64_t per_token_bias_units(const Na2dShape& s) {
  return (s.height * s.width + kTokensPerBiasUnit - 1) / kTokensPerBiasUnit;
}

constexpr int kMaxWindow = 13;
constexpr int kMaxKeys = kMaxWindow * kMaxWindow;
constexpr int kGroup = 8;                          // lanes that share a dot product
constexpr int kGroups = device::kWarp / kGroup;

struct Token {
  int64_t b, m;
  int y, x;
};

// Tokens of an image and head are neighbours: warps of a block share keys.
__device__ __forceinline__ Token token_at(const Na2dShape& s, int64_t index) {
  const int64_t plane = index / s.width;
  const int64_t image = plane / s.height;
  return {image / s.heads, image % s.heads, static_cast<int>(plane % s.height), static_cast<int>(index % s.width)};
}

__device__ __forceinline__ int64_t plane_offset(const Na2dShape& s, const Token& t) {  // in [B, H, W, M]
  return ((t.b * s.height + t.y) * s.width + t.x) * s.heads + t.m;
}

// A run of map positions along one axis, `step` apart.
struct Run {
  int first, step, count;

  __device__ __forceinline__ int operator[](int i) const { return first + i * step; }
};

struct QueryAxis {
  Run keys;
  int bias;  // index of the first key in the bias table
};

__device__ __forceinline__ QueryAxis query_axis(int position, int64_t size, int64_t window, int64_t dilation) {
  const int step = static_cast<int>(dilation), count = static_cast<int>(window);
  const int residue = position % step, rank = position / step;
  const int start = window_start(rank, class_length(static_cast<int>(size), residue, step), count);
  return {{start * step + residue, step, count}, start - rank + count - 1};
}

__device__ __forceinline__ Run queries_of(int position, int64_t size, int64_t window, int64_t dilation) {
  const int step = static_cast<int>(dilation);
  const int residue = position % step;
  const Range range = queries_of_key(position / step, class_length(static_cast<int>(size), residue, step),
                                     static_cast<int>(window));
  return {range.first * step + residue, step, range.end - range.first};
}

// Sum of a lane's channels; the group's sum is lanes_sum<kGroup> of it.
template <typename T>
__device__ __forceinline__ Compute<T> lane_dot(const T* a, const T* b, int64_t channels) {
  Compute<T> sum = 0;
  for (int64_t c = device::lane() % kGroup; c < channels; c += kGroup) sum += widen(a[c]) * widen(b[c]);
  return sum;
}

}  // namespace smalti::na2d
