// Backward pass in f32, first kernel: tiles of queries give delta, dQ and their part of the bias gradient.
#include "launch.h"
#include "patch.h"
#include "tiled.h"

namespace smalti::na2d {
namespace {

// The sum of the staged gradients that share an entry of the bias table, in the order of the queries.
__device__ __forceinline__ float sum_of_entry(const float* stage, int entry, unsigned reciprocal, const Tile& tile,
                                              const TileGrid& grid) {
  const int entry_y = row_in_box(entry, reciprocal), entry_x = entry - entry_y * grid.table_pitch();
  const int to_key_y = entry_y - grid.window_y + 1, to_key_x = entry_x - grid.window_x + 1;
  float sum = 0;
  for (int y = tile.rows.first; y < tile.rows.end; ++y) {
    const int row = y + to_key_y - window_start(y, tile.length_y, grid.window_y);
    if (static_cast<unsigned>(row) >= static_cast<unsigned>(grid.window_y)) continue;
    for (int x = tile.columns.first; x < tile.columns.end; ++x) {
      const int column = x + to_key_x - window_start(x, tile.length_x, grid.window_x);
      const int query = (y - tile.rows.first) * kTile + x - tile.columns.first;
      if (static_cast<unsigned>(column) < static_cast<unsigned>(grid.window_x))
        sum += stage[(query * grid.window_y + row) * grid.window_x + column];
    }
  }
  return sum;
}

// Shared memory: boxes of keys and of values, the bias table, and with `parts` the stage.
template <int D>
__global__ void __launch_bounds__(FloatBox<D>::kThreads, kBlocks<D, D == 16 ? 168 : 255>)
    tiled_query_f32_kernel(const Na2dBackward<float> args, const TileGrid grid, int capacity, float* all_delta,
                           float* parts) {
  constexpr int kLanes = FloatBox<D>::kLanes, kOwn = FloatBox<D>::kOwn;
  SMALTI_DYNAMIC_SHARED(unsigned char, shared);
  unsigned char* keys = shared;
  unsigned char* values = keys + box_bytes<FloatBox<D>>(capacity);
  float* entries = reinterpret_cast<float*>(values + box_bytes<FloatBox<D>>(capacity));
  float* stage = entries + grid.table_room();
  float* part = parts ? parts + static_cast<int64_t>(blockIdx.x) * grid.table() : nullptr;
  const Tile tile(grid, blockIdx.x);
  if (tile.empty()) {
    if (part)
      for (int i = threadIdx.x; i < grid.table(); i += FloatBox<D>::kThreads) part[i] = 0;
    return;
  }
  const Box box(keys_of_queries(tile.rows, tile.length_y, grid.window_y),
                keys_of_queries(tile.columns, tile.length_x, grid.window_x), capacity);
  const auto k = tile.view(grid, args.k, args.k_strides), v = tile.view(grid, args.v, args.v_strides);

  const Patch<D> at(tile);
  const OwnQuery query(at, tile, grid);
  Range rows{0, 0}, columns{0, 0};  // of the patch's keys
  if (!at.empty()) {
    rows = keys_of_queries(at.rows, tile.length_y, grid.window_y);
    columns = keys_of_queries(at.columns, tile.length_x, grid.window_x);
  }
  const BiasTable table(entries, args.bias, grid, tile.m, false);
  const PatchRows<D> q(tile.view(grid, args.q, args.q_strides), at);
  const PatchRows<D> grad_out(tile.view(grid, args.grad_out, args.grad_out_strides), at);
  float delta = 0, lse = 0;  // of the lane's query
  {
    const PatchRows<D> out(tile.dense_view(grid, args.out, D), at);
    SMALTI_UNROLL
    for (int r = 0; r < kPatch; ++r) {
      float sum = 0;
      SMALTI_UNROLL
      for (int p = 0; p < FloatBox<D>::kParts; ++p) sum = dot(sum, grad_out.part[r][p], out.part[r][p]);
      sum = lanes_sum<kLanes>(sum);
      if (r == at.own()) delta = sum;
    }
    if (at.inside(at.own())) {
      lse = *tile.dense_view(grid, args.lse, 1).at(query.y, query.x) * kLog2E;
      if (at.lane < kPatch) *tile.dense_view(grid, all_delta, 1).at(query.y, query.x) = delta;
    }
  }

  const float scale = args.scale * kLog2E;
  float* staged = stage + ((query.y - tile.rows.first) * kTile + query.x - tile.columns.first) *
                              (grid.window_y * grid.window_x);
  PatchRows<D> grad_q;
  for (int y = box.rows.first; y < box.rows.end; y += box.band_rows) {
    const Range band = box.band_at(y);
    if (y > box.rows.first) __syncthreads();  // the last band has been read
    copy_band<FloatBox<D>>(keys, k, values, v, box, band);
    device::commit_copies();
    const Walk walk(rows, columns, box, band);
    const int end = walk.end();
    device::wait_copies<0>();
    __syncthreads();

    for (int base = 0; base < end; base += kTaken) {
      const Taken<D> taken(walk, base, at);
      float scores[kOwn], grads[kOwn];
      multiply(scores, q, keys, taken, at);
      multiply(grads, grad_out, values, taken, at);
      SMALTI_UNROLL
      for (int i = 0; i < kOwn; ++i) {
        const int number = base + at.own_first() + i;
        const Rank key = walk.rank(number);
        float grad = 0;
        if (number < walk.count && query.sees(key, grid)) {
          const float bias = *table.at(key.y - query.y, key.x - query.x, grid);
          grad = device::exp2_fast(scores[i] * scale + bias - lse) * (grads[i] - delta);
          if (part) staged[(key.y - query.start_y) * grid.window_x + key.x - query.start_x] = grad;
        }
        grads[i] = grad;
      }
      add_weighted(grad_q, grads, keys, taken);
    }
  }

  SMALTI_UNROLL
  for (int r = 0; r < kPatch; ++r) grad_q.scale(r, args.scale);
  grad_q.store(tile.view(grid, args.grad_q, args.grad_q_strides), at);
  if (!part) return;
  __syncthreads();
  const unsigned reciprocal = pitch_reciprocal(grid.table_pitch());
  for (int i = threadIdx.x; i < grid.table(); i += FloatBox<D>::kThreads)
    part[i] = sum_of_entry(stage, i, reciprocal, tile, grid);
}

template <int D>
int launch_query_gradients(const Na2dBackward<float>& args, float* delta, float* parts, void* stream) {
  const TileGrid grid(args.shape);
  const int64_t other_bytes = table_bytes(grid) + (parts ? stage_bytes(grid) : 0);
  const int capacity = box_capacity<FloatBox<D>>(room_for_keys(grid), other_bytes);
  return launch_blocks(tiled_query_f32_kernel<D>, args.shape.batch * args.shape.heads * grid.tiles_of_head(),
                       FloatBox<D>::kThreads / device::kWarp, 2 * box_bytes<FloatBox<D>>(capacity) + other_bytes,
                       stream, args, grid, capacity, delta, parts);
}

}  // namespace

template <>
int tiled_query_gradients(const Na2dBackward<float>& args, float* delta, float* parts, void* stream) {
  return for_head_dim(args.shape, [&](auto dim) {
    return launch_query_gradients<decltype(dim)::value>(args, delta, parts, stream);
  });
}

}  // namespace smalti::na2d
