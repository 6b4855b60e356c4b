// Products of a whole group of queries with the rows of keys or values that it sees.
#pragma once

#include "plans.h"

namespace smalti {
namespace SMALTI_ISA {
namespace {

template <typename C, typename Visit>
SMALTI_INLINE void with_keys(const Plan<C>& plan, const Tile<C>& tile, const RowLayout& layout, Visit visit) {
  if (plan.whole_rows) return visit(RowKeys<C>{layout.channels});
#if defined(__AVX512F__)
  if constexpr (sizeof(C) == sizeof(float)) return visit(PermutedKeys{tile.columns, layout.pitch});
#endif
  if constexpr (sizeof(C) != sizeof(float) || kVectorBytes < 64) {
    if (tile.interior) return visit(InteriorKeys<C>(tile.columns, layout.pitch));
    visit(BorderKeys<C>(tile.columns, layout.pitch, plan.window_x));
  }
}

// First element of a ring row as the readers of keys count.
template <typename C>
SMALTI_INLINE const C* readable(const Plan<C>& plan, const RowLayout& layout, const C* row) {
  return plan.whole_rows ? row : row + layout.margin;
}

// Reads key or value rows up to `end` into the ring.
template <typename T, typename C>
void fill_ring(const Plan<C>& plan, const ClassMap<const T>& map, const RowLayout& layout, const RowRing<C>& ring,
               int64_t dim, int64_t begin, int64_t end) {
  for (int64_t y = begin; y < end; ++y) {
    if (y + 1 < end)
      for (int64_t x = 0; x < plan.width; ++x) prefetch_token(map.at(y + 1, x), dim);
    if (plan.whole_rows) {
      fill_tokens(map.at(y, 0), map.column, plan.width, dim, layout, ring.row(y));
    } else {
      fill_channels(map.at(y, 0), map.column, plan.width, dim, layout, ring.row(y));
    }
  }
}

// Scores of a group. Starts are [key row][column][lane], or one vector for all pairs (`one_start`).
template <typename C>
void group_scores(const Plan<C>& plan, const Group<C>& group, const RowLayout& layout, const RowRing<C>& keys,
                  int64_t dim, const C* const* queries, const C* const* start, bool one_start, C* const* pairs) {
  const int64_t row_pairs = plan.columns * kLanes<C>;
  with_keys(plan, *group.queries[0].tile, layout, [&](const auto& reader) {
    for_each_segment(group, [&](int64_t first, int64_t last, int64_t v, int64_t w) {
      for (int64_t y = first; y < last; ++y) {
        const C *row_start[kMaxVectors], *row = readable(plan, layout, static_cast<const C*>(keys.row(y)));
        C* row_to[kMaxVectors];
        for (int64_t i = v; i < w; ++i) {
          const int64_t at = (y - group.queries[i].first) * row_pairs;
          row_start[i] = start[i] + (one_start ? 0 : at);
          row_to[i] = pairs[i] + at;
        }
        const int64_t step = one_start ? 0 : kLanes<C>;
        if (w - v == 2) {
          row_scores<2>(reader, row, plan.columns, dim, queries, row_start, step, row_to);
        } else {
          row_scores<1>(reader, row, plan.columns, dim, queries + v, row_start + v, step, row_to + v);
        }
      }
    });
  });
}

// sums[channel][lane] = sum over the pairs of a group of weight * value.
template <typename C>
void group_mix(const Plan<C>& plan, const Group<C>& group, const RowLayout& layout, const RowRing<C>& values,
               int64_t dim, const C* const* pairs, C* const* sums) {
  const int64_t row_pairs = plan.columns * kLanes<C>, channels = round_up(dim, kChannelBlock);
  for (int64_t v = 0; v < group.vectors; ++v) memset(sums[v], 0, channels * kLanes<C> * sizeof(C));
  with_keys(plan, *group.queries[0].tile, layout, [&](const auto& reader) {
    for_each_segment(group, [&](int64_t first, int64_t last, int64_t v, int64_t w) {
      const C *rows[kSlabRows], *from[kMaxVectors];
      for (int64_t y = first; y < last; ++y)
        rows[y - first] = readable(plan, layout, static_cast<const C*>(values.row(y)));
      for (int64_t i = v; i < w; ++i) from[i] = pairs[i] + (first - group.queries[i].first) * row_pairs;
      if (w - v == 2) {
        mix_rows<2>(reader, rows, last - first, plan.columns, channels, from, sums);
      } else {
        mix_rows<1>(reader, rows, last - first, plan.columns, channels, from + v, sums + v);
      }
    });
  });
}

}  // namespace
}  // namespace SMALTI_ISA
}  // namespace smalti
