// Backward pass over a range of units: (image, head, residue class). A unit owns the gradients of its class, so nothing
// is shared between units.
#pragma once

#include "groups.h"

namespace smalti {
namespace SMALTI_ISA {
namespace {

// Each query's sum over channels of a * b; zero in unused lanes.
template <typename T, typename C>
Vec<C> row_dots(const ClassMap<const T>& a, const ClassMap<const T>& b, const Queries<C>& at, int64_t dim) {
  constexpr int64_t L = kLanes<C>;
  const Tile<C>& tile = *at.tile;
  Vec<C> partial[L];
  for (int64_t l = 0; l < L; ++l) {
    partial[l] = Vec<C>{};
    if (l >= tile.count) continue;
    const T *x = a.at(at.y + tile.y[l], tile.x[l]), *y = b.at(at.y + tile.y[l], tile.x[l]);
    for (int64_t d = 0; d < dim; d += L) partial[l] += load_first(x + d, dim - d) * load_first(y + d, dim - d);
  }
  transpose<C>(partial);
  Vec<C> sum = partial[0];
  for (int64_t l = 1; l < L; ++l) sum += partial[l];
  return sum;
}

// weights become probabilities; grads, the gradients by each probability, become those by each score.
template <typename C>
void softmax_backward(C* weights, C* grads, int64_t count, Vec<C> lse, C* grad_initial) {
  constexpr int64_t L = kLanes<C>;
  for (int64_t i = 0; i < count; ++i) {
    const Vec<C> weight = exponential(load(weights + i * L) - lse), grad = weight * load(grads + i * L);
    store(weights + i * L, weight);
    store(grads + i * L, grad);
    if (grad_initial != nullptr) store(grad_initial + i * L, load(grad_initial + i * L) + grad);
  }
}

// Adds to the gradient of every key that the queries see:
// to[key][channel] += pairs[key][query] * tokens[query][channel].
template <typename C>
void scatter(const Plan<C>& plan, const Queries<C>& queries, const RowLayout& layout, const C* pairs, const C* tokens,
             int64_t dim, const RowRing<C>& to) {
  constexpr int64_t L = kLanes<C>;
  const Tile<C>& tile = *queries.tile;
  const int64_t row_pairs = plan.columns * L, blocks = (queries.rows + kRowBlock - 1) / kRowBlock;
  int64_t begin = 0, end = 0;
  for (int64_t x = tile.start[0]; x < tile.start[tile.count - 1] + plan.columns; ++x) {
    // Window starts rise from lane to lane, so the lanes that see the column are neighbours.
    while (tile.start[begin] + plan.columns <= x) ++begin;
    while (end < tile.count && tile.start[end] <= x) ++end;
    int64_t at[L];
    for (int64_t l = begin; l < end; ++l) at[l] = (x - tile.start[l]) * L + l;
    for (int64_t i = 0; i < blocks; ++i) {
      const int64_t first = queries.rows * i / blocks, count = queries.rows * (i + 1) / blocks - first;
      const C* row_from = pairs + first * row_pairs;
      C* rows[kRowBlock];
      for (int64_t r = 0; r < count; ++r) rows[r] = to.row(queries.first + first + r) + x * layout.channels;
      int64_t d = 0;
      for (; d + L < dim; d += 2 * L) {
        scatter_rows<2>(count, row_from, row_pairs, at, begin, end, tokens + d, layout.channels, rows);
        for (int64_t r = 0; r < count; ++r) rows[r] += 2 * L;
      }
      if (d < dim) scatter_rows<1>(count, row_from, row_pairs, at, begin, end, tokens + d, layout.channels, rows);
    }
  }
}

// Writes finished gradient rows and clears them for the rows that take their place.
template <typename T, typename C>
void flush_ring(const ClassMap<T>& map, const RowLayout& layout, const RowRing<C>& ring, int64_t width, int64_t dim,
                int64_t begin, int64_t end) {
  constexpr int64_t L = kLanes<C>;
  for (int64_t y = begin; y < end; ++y) {
    C* row = ring.row(y);
    for (int64_t x = 0; x < width; ++x) {
      T* to = map.at(y, x);
      for (int64_t d = 0; d < dim; d += L) store_first(to + d, load(row + x * layout.channels + d), dim - d);
    }
    memset(row, 0, width * layout.channels * sizeof(C));
  }
}

template <typename C>
struct BackwardBuffers {
  RowRing<C> keys, values, grad_keys, grad_values;
  // Of each vector of queries: [channel][lane] and [lane][channel] of q and of the gradient of out; pairs.
  C *queries[kMaxVectors], *query_tokens[kMaxVectors], *grads[kMaxVectors], *grad_tokens[kMaxVectors];
  C *weights[kMaxVectors], *grad_scores[kMaxVectors], *sums[kMaxVectors], *delta[kMaxVectors];

  void carve(Carver& from, const Plans<C>& plans, const RowLayout& layout, int64_t width) {
    constexpr int64_t L = kLanes<C>;
    const int64_t size = plans.row_size(layout, width), grad_size = width * layout.channels, rows = plans.ring_rows;
    keys = {from.take<C>(rows * size), size, rows};
    values = {from.take<C>(rows * size), size, rows};
    grad_keys = {from.take<C>(rows * grad_size), grad_size, rows};
    grad_values = {from.take<C>(rows * grad_size), grad_size, rows};
    for (int64_t v = 0; v < kMaxVectors; ++v) {
      C** const matrices[] = {&queries[v], &query_tokens[v], &grads[v], &grad_tokens[v], &sums[v]};
      for (C** matrix : matrices) *matrix = from.take<C>(layout.channels * L);
      weights[v] = from.take<C>(plans.pairs * L);
      grad_scores[v] = from.take<C>(plans.pairs * L);
      delta[v] = from.take<C>(L);
    }
  }
};

template <typename T>
class Backward {
  using C = Compute<T>;

 public:
  explicit Backward(const Na2dBackward<T>& a) : a_(a), s_(a.shape), work_(a.shape, a.grad_bias != nullptr) {}

  void run(int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; ++unit) {
      const Maps maps = maps_of(unit), next = maps_of(unit + 1 < end ? unit + 1 : unit);
      Plan<C>& plan = work_.plans.of(s_, maps.of, a_.bias);
      if (a_.grad_bias != nullptr) plan.clear_gradient();
      int64_t filled = 0, flushed = 0;
      plan.for_each_group(0, plan.height, [&](const Group<C>& group) {
        // Rows leave before others take their places.
        flush(plan, maps, flushed, group.begin());
        flushed = at_least(flushed, group.begin());
        const int64_t needed = group.end();
        fill_ring(plan, maps.k, work_.layout, work_.buffers.keys, s_.head_dim, filled, needed);
        fill_ring(plan, maps.v, work_.layout, work_.buffers.values, s_.head_dim, filled, needed);
        filled = at_least(filled, needed);
        prefetch(plan, group, maps, next, filled);
        differentiate(plan, group, maps);
      });
      flush(plan, maps, flushed, plan.height);
      if (a_.grad_bias != nullptr) {
        const int64_t table = (2 * s_.window_y - 1) * (2 * s_.window_x - 1);
        memset(a_.grad_bias + unit * table, 0, table * sizeof(C));
        plan.add_gradient(a_.grad_bias + unit * table);
      }
    }
  }

 private:
  struct Maps {
    ClassOf of;
    ClassMap<const T> q, k, v, out, grad_out;
  };

  Maps maps_of(int64_t unit) const {
    const int64_t image_head = unit / (s_.dilation_y * s_.dilation_x);
    const ClassOf of = {image_head / s_.heads, image_head % s_.heads, unit / s_.dilation_x % s_.dilation_y,
                        unit % s_.dilation_x};
    return {of,
            of.map(a_.q, a_.q_strides, s_),
            of.map(a_.k, a_.k_strides, s_),
            of.map(a_.v, a_.v_strides, s_),
            of.map(a_.out, contiguous(s_, s_.head_dim), s_),
            of.map(a_.grad_out, a_.grad_out_strides, s_)};
  }

  void prefetch(const Plan<C>& plan, const Group<C>& group, const Maps& maps, const Maps& next, int64_t filled) const {
    for (int64_t i = 0; i < group.vectors; ++i) {
      const Queries<C>& at = group.queries[i];
      prefetch_ahead(plan, at, maps.q, next.q, s_.head_dim);
      prefetch_ahead(plan, at, maps.out, next.out, s_.head_dim);
      prefetch_ahead(plan, at, maps.grad_out, next.grad_out, s_.head_dim);
      prefetch_keys(plan, at, maps.k, next.k, filled + i, s_.head_dim);
      prefetch_keys(plan, at, maps.v, next.v, filled + i, s_.head_dim);
    }
  }

  // Hands over the gradients of the key rows [begin, end), which no later query sees.
  void flush(const Plan<C>& plan, const Maps& maps, int64_t begin, int64_t end) {
    flush_ring(maps.of.map(a_.grad_k, a_.grad_k_strides, s_), work_.layout, work_.buffers.grad_keys, plan.width,
               s_.head_dim, begin, end);
    flush_ring(maps.of.map(a_.grad_v, a_.grad_v_strides, s_), work_.layout, work_.buffers.grad_values, plan.width,
               s_.head_dim, begin, end);
  }

  void differentiate(const Plan<C>& plan, const Group<C>& group, const Maps& maps) {
    const BackwardBuffers<C>& to = work_.buffers;
    const int64_t dim = s_.head_dim, channels = work_.layout.channels;
    const auto lse = maps.of.map(a_.lse, contiguous(s_, 1), s_);
    const auto grad_q = maps.of.map(a_.grad_q, a_.grad_q_strides, s_);
    const C* initial[kMaxVectors];
    for (int64_t i = 0; i < group.vectors; ++i) {
      const Queries<C>& at = group.queries[i];
      initial[i] = at.initial;
      load_queries<false>(maps.q, at, dim, a_.scale, channels, to.queries[i], to.query_tokens[i]);
      load_queries<true>(maps.grad_out, at, dim, C(1), channels, to.grads[i], to.grad_tokens[i]);
      store(to.delta[i], -row_dots<T, C>(maps.out, maps.grad_out, at, dim));
    }
    group_scores<C>(plan, group, work_.layout, to.keys, dim, to.queries, initial, false, to.weights);
    group_scores<C>(plan, group, work_.layout, to.values, dim, to.grads, to.delta, true, to.grad_scores);
    for (int64_t i = 0; i < group.vectors; ++i) {
      const Queries<C>& at = group.queries[i];
      softmax_backward(to.weights[i], to.grad_scores[i], at.rows * plan.columns, load_numbers<C>(lse, at),
                       at.grad_initial);
      scatter<C>(plan, at, work_.layout, to.grad_scores[i], to.query_tokens[i], dim, to.grad_keys);
      scatter<C>(plan, at, work_.layout, to.weights[i], to.grad_tokens[i], dim, to.grad_values);
    }
    group_mix<C>(plan, group, work_.layout, to.keys, dim, to.grad_scores, to.sums);
    for (int64_t i = 0; i < group.vectors; ++i)
      store_queries(grad_q, group.queries[i], dim, broadcast(a_.scale), static_cast<const C*>(to.sums[i]));
  }

  const Na2dBackward<T>& a_;
  const Na2dShape& s_;
  Workspace<C, BackwardBuffers<C>> work_;
};

template <typename T>
void backward(const Na2dBackward<T>& a, int64_t begin, int64_t end) {
  if (begin < end) Backward<T>(a).run(begin, end);
}

}  // namespace
}  // namespace SMALTI_ISA
}  // namespace smalti
