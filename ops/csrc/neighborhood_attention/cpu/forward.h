// Forward pass over a range of units: (head, image, residue class, slab of query rows). Heads come first, so that the
// initial scores of a head serve many units.
#pragma once

#include "groups.h"

namespace smalti {
namespace SMALTI_ISA {
namespace {

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
struct ForwardBuffers {
  RowRing<C> keys, values;
  C *queries[kMaxVectors], *pairs[kMaxVectors], *sums[kMaxVectors];

  void carve(Carver& from, const Plans<C>& plans, const RowLayout& layout, int64_t width) {
    const int64_t size = plans.row_size(layout, width), rows = plans.ring_rows;
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
class Forward {
  using C = Compute<T>;

 public:
  explicit Forward(const Na2dForward<T>& a) : a_(a), s_(a.shape), work_(a.shape, false) {}

  void run(int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t slab = unit % slabs_;
      const Maps maps = maps_of(unit), next = maps_of(unit + 1 < end ? unit + 1 : unit);
      const Plan<C>& plan = work_.plans.of(s_, maps.of, a_.bias);
      int64_t filled = window_start(slab * kSlabRows, plan.height, s_.window_y);
      plan.for_each_group(slab * kSlabRows, at_most((slab + 1) * kSlabRows, plan.height), [&](const Group<C>& group) {
        const int64_t needed = group.end();
        fill_ring(plan, maps.k, work_.layout, work_.buffers.keys, s_.head_dim, filled, needed);
        fill_ring(plan, maps.v, work_.layout, work_.buffers.values, s_.head_dim, filled, needed);
        filled = at_least(filled, needed);
        prefetch(plan, group, maps, next, filled);
        attend(plan, group, maps);
      });
    }
  }

 private:
  struct Maps {
    ClassOf of;
    ClassMap<const T> q, k, v;
    ClassMap<T> out;
  };

  Maps maps_of(int64_t unit) const {
    const int64_t residue = unit / slabs_, image_head = residue / (s_.dilation_y * s_.dilation_x);
    const ClassOf of = {image_head % s_.batch, image_head / s_.batch, residue / s_.dilation_x % s_.dilation_y,
                        residue % s_.dilation_x};
    return {of, of.map(a_.q, a_.q_strides, s_), of.map(a_.k, a_.k_strides, s_), of.map(a_.v, a_.v_strides, s_),
            of.map(a_.out, contiguous(s_, s_.head_dim), s_)};
  }

  void prefetch(const Plan<C>& plan, const Group<C>& group, const Maps& maps, const Maps& next, int64_t filled) const {
    for (int64_t i = 0; i < group.vectors; ++i) {
      const Queries<C>& at = group.queries[i];
      prefetch_queries(maps.out, at, 0, s_.head_dim);
      prefetch_ahead(plan, at, maps.q, next.q, s_.head_dim);
      prefetch_keys(plan, at, maps.k, next.k, filled + i, s_.head_dim);
      prefetch_keys(plan, at, maps.v, next.v, filled + i, s_.head_dim);
    }
  }

  void attend(const Plan<C>& plan, const Group<C>& group, const Maps& maps) {
    const ForwardBuffers<C>& to = work_.buffers;
    const int64_t dim = s_.head_dim;
    const C* initial[kMaxVectors];
    Vec<C> inverse[kMaxVectors];
    for (int64_t i = 0; i < group.vectors; ++i) {
      const Queries<C>& at = group.queries[i];
      initial[i] = at.initial;
      load_queries<false>(maps.q, at, dim, a_.scale, work_.layout.channels, to.queries[i], static_cast<C*>(nullptr));
    }
    group_scores<C>(plan, group, work_.layout, to.keys, dim, to.queries, initial, false, to.pairs);
    for (int64_t i = 0; i < group.vectors; ++i) {
      const Queries<C>& at = group.queries[i];
      Vec<C> top;
      const Vec<C> total = softmax(to.pairs[i], at.rows * plan.columns, top);
      inverse[i] = C(1) / total;
      if (a_.lse != nullptr) store_numbers<C>(maps.of.map(a_.lse, contiguous(s_, 1), s_), at, top + logarithm(total));
    }
    group_mix<C>(plan, group, work_.layout, to.values, dim, to.pairs, to.sums);
    for (int64_t i = 0; i < group.vectors; ++i)
      store_queries(maps.out, group.queries[i], dim, inverse[i], static_cast<const C*>(to.sums[i]));
  }

  const Na2dForward<T>& a_;
  const Na2dShape& s_;
  Workspace<C, ForwardBuffers<C>> work_;
  const int64_t slabs_ = slabs_per_class(s_.height, s_.dilation_y);
};

template <typename T>
void forward(const Na2dForward<T>& a, int64_t begin, int64_t end) {
  if (begin < end) Forward<T>(a).run(begin, end);
}

}  // namespace
}  // namespace SMALTI_ISA
}  // namespace smalti
