// Forward pass: out = sum over taps of share * value row. Channels are the vector axis.
#pragma once

#include "channels.h"
#include "taps.h"

namespace smalti {
namespace SMALTI_ISA {
namespace {

template <int N, typename T>
inline void sum_block(const T* map, const Taps<Compute<T>>& taps, int64_t count, T* out) {
  // Sums of their own for corners, where registers allow it: one sum waits for each of its additions.
  constexpr int kSums = N <= 2 ? 4 : kBytes == 64 ? 4 : 2;
  Block<N, T> sums[kSums] = {};
  for (int64_t i = 0; i < count; ++i) {
    for (int c = 0; c < 4; ++c) {
      Block<N, T> row;
      row.load(map + taps.at[c][i]);
      for (int n = 0; n < N; ++n) sums[c % kSums].part[n] += taps.share[c][i] * row.part[n];
    }
  }
  for (int s = 1; s < kSums; ++s)
    for (int n = 0; n < N; ++n) sums[0].part[n] += sums[s].part[n];
  sums[0].store(out);
}

template <typename T>
inline void sum_single(const T* map, const Taps<Compute<T>>& taps, int64_t count, T* out) {
  Compute<T> sum = 0;
  for (int64_t i = 0; i < count; ++i)
    for (int c = 0; c < 4; ++c) sum += taps.share[c][i] * load_channel(map + taps.at[c][i]);
  store_channel<T>(sum, out);
}

template <typename T>
void forward(const DeformForward<T>& a, int64_t begin, int64_t end) {
  using C = Compute<T>;
  const DeformShape& s = a.shape;
  const Levels<C> levels(s, s.value_s);
  const int64_t count = levels.count;
  alignas(64) const T zeros[kDeformMaxHeadDim] = {};
  Taps<C> taps;
  for (int64_t query = begin; query < end; ++query) {
    // All heads of a query in turn: they read neighbouring cache lines of the same few positions.
    for (int64_t m = 0; m < s.heads; ++m) {
      const T* map = a.value + query / s.queries * s.value_b + m * s.value_m;
      const int64_t row = query * s.heads + m;
      // Rows are found by their distance from the head's first one, so the zeros are too.
      const int64_t to_zeros =
          (reinterpret_cast<intptr_t>(zeros) - reinterpret_cast<intptr_t>(map)) / static_cast<int64_t>(sizeof(T));
      levels.find_taps(a.reference + query * s.levels * 2, a.offsets + row * count * 2, a.logits + row * count,
                       to_zeros, &taps);
      T* out = a.out + row * s.head_dim;
      cut_row<C>(
          s.head_dim,
          [&](int64_t d, auto registers) { sum_block<registers.value>(map + d, taps, count, out + d); },
          [&](int64_t d) { sum_single(map + d, taps, count, out + d); });
    }
  }
}

}  // namespace
}  // namespace SMALTI_ISA
}  // namespace smalti
