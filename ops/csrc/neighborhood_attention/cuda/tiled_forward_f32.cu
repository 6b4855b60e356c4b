// Forward pass in f32. The softmax is rescaled whenever one of a warp's queries meets a new largest score.
#include "launch.h"
#include "patch.h"
#include "tiled.h"

namespace smalti::na2d {
namespace {

// Over the lanes of a group that have the same query.
template <int D>
__device__ __forceinline__ float query_max(float x) {
  SMALTI_UNROLL
  for (int lanes = kPatch; lanes < FloatBox<D>::kLanes; lanes *= 2) x = fmaxf(x, device::shuffle_xor(x, lanes));
  return x;
}
template <int D>
__device__ __forceinline__ float query_sum(float x) {
  SMALTI_UNROLL
  for (int lanes = kPatch; lanes < FloatBox<D>::kLanes; lanes *= 2) x += device::shuffle_xor(x, lanes);
  return x;
}

// Shared memory: boxes of keys and of values, the bias table.
template <int D>
__global__ void __launch_bounds__(FloatBox<D>::kThreads, kBlocks<D, D == 16 ? 128 : 168>)
    tiled_forward_f32_kernel(const Na2dForward<float> args, const TileGrid grid, int capacity) {
  constexpr int kLanes = FloatBox<D>::kLanes, kOwn = FloatBox<D>::kOwn;
  SMALTI_DYNAMIC_SHARED(unsigned char, shared);
  unsigned char* keys = shared;
  unsigned char* values = keys + box_bytes<FloatBox<D>>(capacity);
  float* entries = reinterpret_cast<float*>(values + box_bytes<FloatBox<D>>(capacity));
  const Tile tile(grid, blockIdx.x);
  if (tile.empty()) return;
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
  const float scale = args.scale * kLog2E;

  PatchRows<D> out;
  float top = -INFINITY, total = 0;  // of the lane's query, the total of its own keys
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
      float weights[kOwn];
      multiply(weights, q, keys, taken, at);
      const float last = top;
      SMALTI_UNROLL
      for (int i = 0; i < kOwn; ++i) {
        const int number = base + at.own_first() + i;
        const Rank key = walk.rank(number);
        const bool seen = number < walk.count && query.sees(key, grid);
        weights[i] = seen ? weights[i] * scale + *table.at(key.y - query.y, key.x - query.x, grid) : -INFINITY;
        top = fmaxf(top, weights[i]);
      }
      top = query_max<D>(top);
      const float shift = top == -INFINITY ? 0.0f : top;  // no key of the query so far: exponents stay -inf
      if (device::vote(top != last)) {
        const float shrink = device::exp2_fast(last - shift);
        total *= shrink;
        SMALTI_UNROLL
        for (int r = 0; r < kPatch; ++r) out.scale(r, device::shuffle(shrink, r, kLanes));
      }
      SMALTI_UNROLL
      for (int i = 0; i < kOwn; ++i) {
        weights[i] = device::exp2_fast(weights[i] - shift);
        total += weights[i];
      }
      add_weighted(out, weights, values, taken);
    }
  }

  total = query_sum<D>(total);
  SMALTI_UNROLL
  for (int r = 0; r < kPatch; ++r) out.scale(r, 1 / device::shuffle(total, r, kLanes));
  out.store(tile.dense_view(grid, args.out, D), at);
  if (args.lse && at.lane < kPatch && at.inside(at.own()))
    *tile.dense_view(grid, args.lse, 1).at(query.y, query.x) = (top + device::log2_fast(total)) * kLn2;
}

template <int D>
int launch_forward(const Na2dForward<float>& args, void* stream) {
  const TileGrid grid(args.shape);
  const int capacity = box_capacity<FloatBox<D>>(room_for_keys(grid), table_bytes(grid));
  return launch_blocks(tiled_forward_f32_kernel<D>, args.shape.batch * args.shape.heads * grid.tiles_of_head(),
                       FloatBox<D>::kThreads / device::kWarp, 2 * box_bytes<FloatBox<D>>(capacity) + table_bytes(grid),
                       stream, args, grid, capacity);
}

}  // namespace

template <>
int tiled_forward(const Na2dForward<float>& args, void* stream) {
  return for_head_dim(args.shape, [&](auto dim) { return launch_forward<decltype(dim)::value>(args, stream); });
}

}  // namespace smalti::na2d
