// Forward pass over a range of units: (head, image, residue class, slab of query rows). Heads come first, so that the
// initial scores of a head serve many units.
#pragma once

#include "rows.h"

namespace smalti {
namespace SMALTI_ISA {
namespace {

// Classes differ in height and width by at most one position each: four plans at most.
template <typename C>
struct Plans {
  Plan<C> plan[2][2];
  int64_t pairs = 0, ring_rows = 0;

  explicit Plans(const Na2dShape& s) {
    for (int64_t y = 0; y < 2; ++y) {
      for (int64_t x = 0; x < 2; ++x) {
        // Residues below the remainder have one position more.
        plan[y][x].choose(s.height / s.dilation_y + y, s.width / s.dilation_x + x, s.window_y, s.window_x);
        if (!used(s, y, x)) continue;
        pairs = at_least(pairs, plan[y][x].pairs());
        ring_rows = at_least(ring_rows, plan[y][x].ring_rows());
      }
    }
  }
  void carve(Carver& from, const Na2dShape& s, bool gradients) {
    for (int64_t y = 0; y < 2; ++y)
      for (int64_t x = 0; x < 2; ++x)
        if (used(s, y, x)) plan[y][x].carve(from, gradients);
  }
  void build(const Na2dShape& s) {
    for (int64_t y = 0; y < 2; ++y)
      for (int64_t x = 0; x < 2; ++x)
        if (used(s, y, x)) plan[y][x].build();
  }
  // The plan of a class, with the bias of its head.
  Plan<C>& of(const Na2dShape& s, int64_t residue_y, int64_t residue_x, int64_t head, const C* bias) {
    Plan<C>& found = plan[residue_y < s.height % s.dilation_y][residue_x < s.width % s.dilation_x];
    if (found.head != head) {
      const int64_t table = (2 * s.window_y - 1) * (2 * s.window_x - 1);
      found.set_bias(bias == nullptr ? nullptr : bias + head * table);
      found.head = head;
    }
    return found;
  }

 private:
  static bool used(const Na2dShape& s, int64_t y, int64_t x) {
    return (y == 0 || s.height % s.dilation_y != 0) && (x == 0 || s.width % s.dilation_x != 0);
  }
};

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

// Scores become weights that still lack division by their sum, which is returned; top is their largest score.
template <typename C>
Vec<C> softmax(C* pairs, int64_t count, Vec<C>& top) {
  constexpr int64_t L = kLanes<C>;
  top = load(pairs);
  for (int64_t i = 1; i < count; ++i) top = larger<C>(top, load(pairs + i * L));
  Vec<C> total{};
  for (int64_t i = 0; i < count; ++i) {
    const Vec<C> weight = exponential(load(pairs + i * L) - top);
    total += weight;
    store(pairs + i * L, weight);
  }
  return total;
}

template <typename C>
struct ForwardScratch {
  RowRing<C> keys, values;
  C *queries[kMaxVectors], *pairs[kMaxVectors], *sums[kMaxVectors];

  void carve(Carver& from, const Plans<C>& plans, const RowLayout& layout, int64_t width) {
    const int64_t size = layout.size(width), rows = plans.ring_rows;
    keys = {from.take<C>(rows * size), size, rows};
    values = {from.take<C>(rows * size), size, rows};
    for (int64_t v = 0; v < kMaxVectors; ++v) {
      queries[v] = from.take<C>(layout.channels * kLanes<C>);
      pairs[v] = from.take<C>(plans.pairs * kLanes<C>);
      sums[v] = from.take<C>(layout.channels * kLanes<C>);
    }
  }
};

template <typename T>
void forward(const Na2dForward<T>& a, int64_t begin, int64_t end) {
  using C = Compute<T>;
  const Na2dShape& s = a.shape;
  const int64_t widest = (s.width + s.dilation_x - 1) / s.dilation_x, dim = s.head_dim;
  const RowLayout layout = RowLayout::make<C>(widest, dim);
  Plans<C> plans(s);
  ForwardScratch<C> scratch;
  Carver measure(nullptr);
  plans.carve(measure, s, false);
  scratch.carve(measure, plans, layout, widest);
  const Scratch memory(measure.used());
  Carver carver(memory.base());
  plans.carve(carver, s, false);
  plans.build(s);
  scratch.carve(carver, plans, layout, widest);

  const Strides out_strides = {s.height * s.width * s.heads * dim, s.width * s.heads * dim, s.heads * dim, dim};
  const Strides lse_strides = {s.height * s.width * s.heads, s.width * s.heads, s.heads, 1};
  const int64_t slabs = slabs_per_class(s.height, s.dilation_y);
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t slab = unit % slabs, residue_x = unit / slabs % s.dilation_x;
    const int64_t residue_y = unit / (slabs * s.dilation_x) % s.dilation_y;
    const int64_t image_head = unit / (slabs * s.dilation_x * s.dilation_y);
    const int64_t image = image_head % s.batch, head = image_head / s.batch;
    const auto map = [&](auto* tensor, const Strides& strides) {
      return class_map(tensor, strides, s, image, head, residue_y, residue_x);
    };
    const auto q = map(a.q, a.q_strides), k = map(a.k, a.k_strides), v = map(a.v, a.v_strides);
    const auto out = map(a.out, out_strides);
    const Plan<C>& plan = plans.of(s, residue_y, residue_x, head, a.bias);

    int64_t filled = window_start(slab * kSlabRows, plan.height, s.window_y);
    plan.for_each_group(slab * kSlabRows, at_most((slab + 1) * kSlabRows, plan.height), [&](const Group<C>& group) {
      const Queries<C>& last = group.queries[group.vectors - 1];
      fill_ring(plan, k, layout, scratch.keys, dim, filled, last.first + last.rows);
      fill_ring(plan, v, layout, scratch.values, dim, filled, last.first + last.rows);
      filled = at_least(filled, last.first + last.rows);

      const C* initial[kMaxVectors];
      Vec<C> inverse[kMaxVectors];
      for (int64_t i = 0; i < group.vectors; ++i) {
        const Queries<C>& queries = group.queries[i];
        initial[i] = queries.initial;
        load_queries<false>(q, queries, dim, a.scale, layout.channels, scratch.queries[i], static_cast<C*>(nullptr));
      }
      group_scores<C>(plan, group, layout, scratch.keys, dim, scratch.queries, initial, false, scratch.pairs);
      for (int64_t i = 0; i < group.vectors; ++i) {
        const Queries<C>& queries = group.queries[i];
        Vec<C> top;
        const Vec<C> total = softmax(scratch.pairs[i], queries.rows * plan.columns, top);
        inverse[i] = C(1) / total;
        if (a.lse != nullptr) store_numbers<C>(map(a.lse, lse_strides), queries, top + logarithm(total));
      }
      group_mix<C>(plan, group, layout, scratch.values, dim, scratch.pairs, scratch.sums);
      for (int64_t i = 0; i < group.vectors; ++i)
        store_queries(out, group.queries[i], dim, inverse[i], static_cast<const C*>(scratch.sums[i]));
    });
  }
}

}  // namespace
}  // namespace SMALTI_ISA
}  // namespace smalti
