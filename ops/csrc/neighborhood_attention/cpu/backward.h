// Backward pass over a range of units: (image, head, residue class). A unit owns the gradients of its class, so nothing
// is shared between units.
#pragma once

#include "forward.h"

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

// Adds to the gradient of every key that the queries see: to[key][channel] += pairs[key][query] * tokens[query][channel].
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
struct BackwardScratch {
  RowRing<C> keys, values, grad_keys, grad_values;
  // Of each vector of queries: [channel][lane] and [lane][channel] of q and of the gradient of out; pairs.
  C *queries[kMaxVectors], *query_tokens[kMaxVectors], *grads[kMaxVectors], *grad_tokens[kMaxVectors];
  C *weights[kMaxVectors], *grad_scores[kMaxVectors], *sums[kMaxVectors], *delta[kMaxVectors];

  void carve(Carver& from, const Plans<C>& plans, const RowLayout& layout, int64_t width) {
    constexpr int64_t L = kLanes<C>;
    const int64_t size = layout.size(width), grad_size = width * layout.channels, rows = plans.ring_rows;
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
void backward(const Na2dBackward<T>& a, int64_t begin, int64_t end) {
  using C = Compute<T>;
  const Na2dShape& s = a.shape;
  const int64_t widest = (s.width + s.dilation_x - 1) / s.dilation_x, dim = s.head_dim;
  const bool with_bias = a.grad_bias != nullptr;
  const RowLayout layout = RowLayout::make<C>(widest, dim);
  Plans<C> plans(s);
  BackwardScratch<C> scratch;
  Carver measure(nullptr);
  plans.carve(measure, s, with_bias);
  scratch.carve(measure, plans, layout, widest);
  const Scratch memory(measure.used());
  Carver carver(memory.base());
  plans.carve(carver, s, with_bias);
  plans.build(s);
  scratch.carve(carver, plans, layout, widest);

  const Strides out_strides = {s.height * s.width * s.heads * dim, s.width * s.heads * dim, s.heads * dim, dim};
  const Strides lse_strides = {s.height * s.width * s.heads, s.width * s.heads, s.heads, 1};
  const int64_t table = (2 * s.window_y - 1) * (2 * s.window_x - 1);
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t residue_x = unit % s.dilation_x, residue_y = unit / s.dilation_x % s.dilation_y;
    const int64_t image_head = unit / (s.dilation_x * s.dilation_y);
    const int64_t image = image_head / s.heads, head = image_head % s.heads;
    const auto map = [&](auto* tensor, const Strides& strides) {
      return class_map(tensor, strides, s, image, head, residue_y, residue_x);
    };
    const auto q = map(a.q, a.q_strides), k = map(a.k, a.k_strides), v = map(a.v, a.v_strides);
    const auto out = map(a.out, out_strides), grad_out = map(a.grad_out, a.grad_out_strides);
    const auto lse = map(a.lse, lse_strides);
    const auto grad_q = map(a.grad_q, a.grad_q_strides), grad_k = map(a.grad_k, a.grad_k_strides),
               grad_v = map(a.grad_v, a.grad_v_strides);
    Plan<C>& plan = plans.of(s, residue_y, residue_x, head, a.bias);
    if (with_bias) plan.clear_gradient();

    int64_t filled = 0, flushed = 0;
    const auto flush_until = [&](int64_t row) {
      flush_ring(grad_k, layout, scratch.grad_keys, plan.width, dim, flushed, row);
      flush_ring(grad_v, layout, scratch.grad_values, plan.width, dim, flushed, row);
      flushed = at_least(flushed, row);
    };
    plan.for_each_group(0, plan.height, [&](const Group<C>& group) {
      const Queries<C>& last = group.queries[group.vectors - 1];
      flush_until(group.queries[0].first);
      fill_ring(plan, k, layout, scratch.keys, dim, filled, last.first + last.rows);
      fill_ring(plan, v, layout, scratch.values, dim, filled, last.first + last.rows);
      filled = at_least(filled, last.first + last.rows);

      const C* initial[kMaxVectors];
      for (int64_t i = 0; i < group.vectors; ++i) {
        const Queries<C>& queries = group.queries[i];
        initial[i] = queries.initial;
        load_queries<false>(q, queries, dim, a.scale, layout.channels, scratch.queries[i], scratch.query_tokens[i]);
        load_queries<true>(grad_out, queries, dim, C(1), layout.channels, scratch.grads[i], scratch.grad_tokens[i]);
        store(scratch.delta[i], -row_dots<T, C>(out, grad_out, queries, dim));
      }
      group_scores<C>(plan, group, layout, scratch.keys, dim, scratch.queries, initial, false, scratch.weights);
      group_scores<C>(plan, group, layout, scratch.values, dim, scratch.grads, scratch.delta, true,
                      scratch.grad_scores);
      for (int64_t i = 0; i < group.vectors; ++i) {
        const Queries<C>& queries = group.queries[i];
        softmax_backward(scratch.weights[i], scratch.grad_scores[i], queries.rows * plan.columns,
                         load_numbers<C>(lse, queries), queries.grad_initial);
        scatter<C>(plan, queries, layout, scratch.grad_scores[i], scratch.query_tokens[i], dim, scratch.grad_keys);
        scatter<C>(plan, queries, layout, scratch.weights[i], scratch.grad_tokens[i], dim, scratch.grad_values);
      }
      group_mix<C>(plan, group, layout, scratch.keys, dim, scratch.grad_scores, scratch.sums);
      for (int64_t i = 0; i < group.vectors; ++i)
        store_queries(grad_q, group.queries[i], dim, broadcast(a.scale), static_cast<const C*>(scratch.sums[i]));
    });
    flush_until(plan.height);
    if (with_bias) {
      C* grad_table = a.grad_bias + unit * table;
      memset(grad_table, 0, table * sizeof(C));
      plan.add_gradient(grad_table);
    }
  }
}

}  // namespace
}  // namespace SMALTI_ISA
}  // namespace smalti
