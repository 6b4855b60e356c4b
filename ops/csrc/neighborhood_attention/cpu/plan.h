// How the queries of a residue class are dealt to vectors. Positions within a class are ranks: row and column numbers
// that the dilation has been divided out of.
//
// Windowed plan: a vector holds consecutive queries of one row, and a group two rows of them; every lane reads its own
// window. Narrow classes would leave most lanes empty: there a vector holds consecutive queries of the flattened class,
// every lane reads whole key rows, and scores outside of the lane's window start at minus infinity (row plan).
#pragma once

#include "kernel.h"
#include "products.h"
#include "scratch.h"
#include "units.h"

namespace smalti {
namespace SMALTI_ISA {
namespace {

constexpr int64_t round_up(int64_t x, int64_t unit) { return (x + unit - 1) / unit * unit; }
constexpr int64_t at_most(int64_t x, int64_t limit) { return x < limit ? x : limit; }
constexpr int64_t at_least(int64_t x, int64_t limit) { return x > limit ? x : limit; }

// Rank of the first key of a window.
constexpr int64_t window_start(int64_t rank, int64_t length, int64_t window) {
  return at_least(at_most(rank - window / 2, length - window), 0);
}

template <typename C>
struct Tile {
  int64_t count;  // lanes in use; the others repeat the last one
  int64_t y[kLanes<C>], x[kLanes<C>];  // query of each lane; y counts from the row of the group in a windowed plan
  int64_t start[kLanes<C>];            // column of the lane's first pair
  TileColumns<C> columns;              // windowed plan
  bool interior;                       // no window is shifted by a border
  int64_t first_row, rows;             // key rows of the group, row plan
  bool owns_block;                     // interior tiles share the block of the first of them
  C *initial, *grad_initial;           // scores before the product with the keys, and their gradient
};

// A vector of queries in place.
template <typename C>
struct Queries {
  const Tile<C>* tile;
  int64_t y;            // row that the tile counts from
  int64_t first, rows;  // key rows
  const C* initial;
  C* grad_initial;
};

template <typename C>
struct Group {
  int64_t vectors;
  Queries<C> queries[kMaxVectors];

  // Key rows that any of the queries sees.
  int64_t begin() const { return queries[0].first; }
  int64_t end() const { return queries[vectors - 1].first + queries[vectors - 1].rows; }
};

template <typename C>
struct Plan {
  static constexpr int64_t L = kLanes<C>;
  int64_t height, width, window_y, window_x;
  bool whole_rows;
  int64_t columns;  // pairs of a lane and key row
  int64_t tiles, tile_pairs;
  Tile<C>* tile;
  C *initial, *grad_initial;
  int64_t blocks;  // of initial scores
  int64_t head;    // that `initial` is of

  // Chooses between the two plans; `carve` then hands out the memory.
  void choose(int64_t h, int64_t w, int64_t ky, int64_t kx) {
    height = h, width = w, window_y = ky, window_x = kx, head = -1;
    const int64_t flat = (h * w + L - 1) / L, group_rows = (kMaxVectors * L + w - 2) / w + 1;
    const int64_t key_rows = at_most(ky + group_rows - 1, h);
    // A broadcast key costs less than a windowed one, about two thirds.
    whole_rows = h <= kSlabRows && w <= kSlabRows &&
                 2 * flat * key_rows * w <= 3 * ((w + L - 1) / L) * h * ky * kx;
    columns = whole_rows ? w : kx;
    tiles = whole_rows ? flat : (w + L - 1) / L;
    tile_pairs = whole_rows ? key_rows * w : (2 * ky - 1) * kx;
    // Tiles at either border, a partial one, and one for all others.
    blocks = whole_rows ? tiles : at_most(tiles, 2 * ((kx / 2 + L - 1) / L) + 2);
  }
  int64_t pairs() const { return whole_rows ? tile_pairs : window_y * window_x; }
  int64_t ring_rows() const { return whole_rows ? height : window_y + kMaxVectors - 1; }

  void carve(Carver& from, bool gradients) {
    tile = from.take<Tile<C>>(tiles);
    initial = from.take<C>(blocks * tile_pairs * L);
    grad_initial = gradients ? from.take<C>(blocks * tile_pairs * L) : nullptr;
  }

  void build() {
    int64_t block = 0;
    const Tile<C>* interior = nullptr;
    for (int64_t t = 0; t < tiles; ++t) {
      Tile<C>& to = tile[t];
      if (whole_rows) {
        flatten(to, t);
      } else {
        lay_out(to, t);
      }
      to.owns_block = !to.interior || interior == nullptr;
      if (to.owns_block) {
        const int64_t at = block++ * tile_pairs * L;
        to.initial = initial + at;
        to.grad_initial = grad_initial == nullptr ? nullptr : grad_initial + at;
        if (to.interior) interior = &to;
      } else {
        to.initial = interior->initial, to.grad_initial = interior->grad_initial;
      }
    }
  }

  // Calls visit(tile, place in its block, index in the bias table, whether the lane sees the key) for every initial
  // score.
  template <typename Visit>
  void for_each_initial(Visit visit) const {
    const int64_t table_width = 2 * window_x - 1;
    for (int64_t t = 0; t < tiles; ++t) {
      const Tile<C>& from = tile[t];
      if (!from.owns_block) continue;
      const int64_t rows = whole_rows ? from.rows : 2 * window_y - 1;
      for (int64_t l = 0; l < L; ++l) {
        const int64_t y = whole_rows ? from.first_row - from.y[l] + window_y - 1 : 0;
        const int64_t x = from.start[l] - from.x[l] + window_x - 1;
        const int64_t first_y = whole_rows ? window_start(from.y[l], height, window_y) - from.first_row : 0;
        const int64_t first_x = whole_rows ? window_start(from.x[l], width, window_x) : 0;
        for (int64_t r = 0; r < rows; ++r) {
          const bool row_seen = !whole_rows || (r >= first_y && r < first_y + window_y);
          for (int64_t j = 0; j < columns; ++j) {
            const bool seen = row_seen && j >= first_x && j < first_x + window_x;
            visit(from, (r * columns + j) * L + l, (y + r) * table_width + x + j, seen);
          }
        }
      }
    }
  }

  // bias: the table of one head, or nullptr.
  void set_bias(const C* bias) {
    for_each_initial([&](const Tile<C>& to, int64_t at, int64_t index, bool seen) {
      to.initial[at] = !seen ? -static_cast<C>(HUGE_VAL) : bias == nullptr ? C(0) : bias[index];
    });
  }
  void clear_gradient() { memset(grad_initial, 0, blocks * tile_pairs * L * sizeof(C)); }
  void add_gradient(C* grad_bias) const {
    for_each_initial([&](const Tile<C>& from, int64_t at, int64_t index, bool seen) {
      if (seen) grad_bias[index] += from.grad_initial[at];
    });
  }

  // Calls visit(group) for all queries of the rows [begin, end). Key rows of successive groups never move back.
  template <typename Visit>
  void for_each_group(int64_t begin, int64_t end, Visit visit) const {
    Group<C> group;
    if (whole_rows) {
      if (begin > 0) return;
      for (int64_t t = 0; t < tiles; t += kMaxVectors) {
        group.vectors = at_most(tiles - t, kMaxVectors);
        for (int64_t v = 0; v < group.vectors; ++v) {
          const Tile<C>& from = tile[t + v];
          group.queries[v] = {&from, 0, from.first_row, from.rows, from.initial, from.grad_initial};
        }
        visit(group);
      }
      return;
    }
    for (int64_t y = begin; y < end; y += kMaxVectors) {
      group.vectors = at_most(end - y, kMaxVectors);
      for (int64_t t = 0; t < tiles; ++t) {
        for (int64_t v = 0; v < group.vectors; ++v) {
          const int64_t start = window_start(y + v, height, window_y);
          const int64_t offset = (start - (y + v) + window_y - 1) * window_x * L;
          group.queries[v] = {&tile[t], y + v, start, window_y, tile[t].initial + offset,
                              grad_initial == nullptr ? nullptr : tile[t].grad_initial + offset};
        }
        visit(group);
      }
    }
  }

 private:
  void flatten(Tile<C>& to, int64_t t) const {
    const int64_t queries = height * width, group = t / kMaxVectors * kMaxVectors * L;
    to.count = at_most(queries - t * L, L);
    for (int64_t l = 0; l < L; ++l) {
      const int64_t query = t * L + at_most(l, to.count - 1);
      to.y[l] = query / width, to.x[l] = query % width;
      to.start[l] = 0;
    }
    const int64_t last = at_most(group + kMaxVectors * L, queries) - 1;
    to.first_row = window_start(group / width, height, window_y);
    to.rows = window_start(last / width, height, window_y) + window_y - to.first_row;
    to.interior = false;
  }

  void lay_out(Tile<C>& to, int64_t t) const {
    const int64_t half = window_x / 2;
    TileColumns<C>& columns = to.columns;
    columns.first = t * L;
    columns.last_start = width - window_x;
    columns.origin = window_start(t * L, width, window_x);
    to.count = at_most(width - t * L, L);
    to.interior = t * L >= half && (t + 1) * L + half <= width;
    for (int64_t l = 0; l < L; ++l) {
      to.y[l] = 0, to.x[l] = t * L + at_most(l, to.count - 1);
      to.start[l] = window_start(to.x[l], width, window_x);
      columns.left[l] = to.x[l] < half ? -1 : 0;
      columns.right[l] = to.x[l] >= width - half || l >= to.count ? -1 : 0;
      for (int64_t j = 0; j < window_x; ++j) columns.index[j][l] = to.start[l] + j - columns.origin;
    }
  }
};

// Calls visit(first, last, v, w) for runs of key rows that the same vectors [v, w) of a group see.
template <typename C, typename Visit>
SMALTI_INLINE void for_each_segment(const Group<C>& group, Visit visit) {
  const Queries<C>& a = group.queries[0];
  if (group.vectors == 1) return visit(a.first, a.first + a.rows, 0, 1);
  const Queries<C>& b = group.queries[1];
  if (b.first > a.first) visit(a.first, b.first, 0, 1);
  visit(b.first, a.first + a.rows, 0, 2);
  if (b.first > a.first) visit(a.first + a.rows, b.first + b.rows, 1, 2);
}

}  // namespace
}  // namespace SMALTI_ISA
}  // namespace smalti
