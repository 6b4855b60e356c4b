// Backward pass on tensor cores, first kernel: tiles of queries give delta, dQ and their part of the bias gradient.
#include "bias_sums.h"
#include "launch.h"
#include "queries.h"
#include "tiled.h"

namespace smalti::na2d {
namespace {

// A lane's channels of row r of grad_out . out; their sum over the quad is delta.
template <typename T, int D>
__device__ __forceinline__ float lane_dot(const TokenRows<D>& grad_out, const TokenRows<D>& out, int r) {
  float sum = 0;
  const auto add = [&](uint32_t pair_a, uint32_t pair_b) {
    const float2 x = device::unpack<T>(pair_a), y = device::unpack<T>(pair_b);
    sum += x.x * y.x + x.y * y.y;
  };
  SMALTI_UNROLL
  for (int i = 0; i < TokenRows<D>::kParts; ++i) {
    const auto &a = grad_out.part[r][i], &b = out.part[r][i];
    add(a.x, b.x), add(a.y, b.y);
    if constexpr (D > 16) add(a.z, b.z), add(a.w, b.w);
  }
  return sum;
}

// Shared memory: boxes of keys and of values, the bias table, and with `parts` the BiasSums of every warp.
template <typename T, int D>
__global__ void __launch_bounds__(HalfBox<D>::kThreads, D <= 32 ? 4 : 2)
    tiled_query_kernel(const Na2dBackward<T> args, const TileGrid grid, int capacity, float* all_delta, float* parts,
                       int warp_sums) {
  SMALTI_DYNAMIC_SHARED(unsigned char, shared);
  unsigned char* keys = shared;
  unsigned char* values = keys + box_bytes<HalfBox<D>>(capacity);
  float* entries = reinterpret_cast<float*>(values + box_bytes<HalfBox<D>>(capacity));
  float* sums = entries + grid.table_room();
  float* part = parts ? parts + static_cast<int64_t>(blockIdx.x) * grid.table() : nullptr;
  const Tile tile(grid, blockIdx.x);
  if (tile.empty()) {
    if (part)
      for (int i = threadIdx.x; i < grid.table(); i += kTileWarps * device::kWarp) part[i] = 0;
    return;
  }
  const int warp = threadIdx.x / device::kWarp, t = device::lane() % 4;
  const Box box(keys_of_queries(tile.rows, tile.length_y, grid.window_y),
                keys_of_queries(tile.columns, tile.length_x, grid.window_x), capacity);
  const auto k = tile.view(grid, args.k, args.k_strides), v = tile.view(grid, args.v, args.v_strides);

  const LaneTokens at(tile, warp);
  const Range own_rows = warp_rows(tile, warp);
  const bool active = own_rows.first < own_rows.end;
  Range needed{0, 0};  // rows of keys
  if (active) needed = keys_of_queries(own_rows, tile.length_y, grid.window_y);
  BiasSums bias_sums(sums + warp * warp_sums, tile, active ? own_rows : tile.rows, grid);
  if (part) bias_sums.clear(grid);
  const BiasTable table(entries, args.bias, grid, tile.m, box.inner(tile) && box.one_band());
  const TokenRows<D> q(tile.view(grid, args.q, args.q_strides), at);
  const TokenRows<D> grad_out(tile.view(grid, args.grad_out, args.grad_out_strides), at);
  float delta[2], lse[2];
  {
    const TokenRows<D> out(tile.dense_view(grid, args.out, D), at);
    const auto all_lse = tile.dense_view(grid, args.lse, 1);
    const auto to = tile.dense_view(grid, all_delta, 1);
    SMALTI_UNROLL
    for (int r = 0; r < 2; ++r) {
      delta[r] = lanes_sum<4>(lane_dot<T>(grad_out, out, r));
      lse[r] = at.inside[r] ? *all_lse.at(at.y + r, at.x) * kLog2E : 0;
      if (at.inside[r] && t == 0) *to.at(at.y + r, at.x) = delta[r];
    }
  }

  const float scale = args.scale * kLog2E;
  float grad_q[D / 8][4] = {};
  for (int y = box.rows.first; y < box.rows.end; y += box.band_rows) {
    const Range band = box.band_at(y);
    if (y > box.rows.first) __syncthreads();  // the last band has been read
    copy_band<HalfBox<D>>(keys, k, values, v, box, band);
    device::commit_copies();
    const Queries queries(at, tile, box, band, grid, table);
    device::wait_copies<0>();
    __syncthreads();

    // The warp's tokens of the band; none where it has no queries.
    const int first = (larger(needed.first, band.first) - band.first) * box.pitch;
    const int end = (smaller(needed.end, band.end) - band.first) * box.pitch;
    for (int base = first; base < end; base += kStaged) {
      const BoxReader<D> reader(base);
      const int steps = ceil_div(smaller(end - base, kStaged), kStep);
      for (int step = 0; step < steps; ++step) {
        const int from = step * kStep * D * 2;
        float grads[2][4];
        SMALTI_UNROLL
        for (int block = 0; block < 2; ++block) {
          const int from_block = from + block * 8 * D * 2;
          float scores[4] = {}, grad_weights[4] = {};
          add_scores<T>(scores, q, keys + from_block, reader);
          add_scores<T>(grad_weights, grad_out, values + from_block, reader);
          mask<kOneBand<D>>(scores, base + step * kStep + block * 8 + 2 * t, box, queries, grid, table, scale);
          SMALTI_UNROLL
          for (int i = 0; i < 4; ++i)
            grads[block][i] = device::exp2_fast(scores[i] - lse[i / 2]) * (grad_weights[i] - delta[i / 2]);
          if (part) bias_sums.stage(step * kStep + block * 8, grads[block]);
        }
        uint32_t operand[4];
        to_operand<T>(operand, grads[0], grads[1]);
        add_weighted<T>(grad_q, operand, keys + from, reader);
      }
      if (part) bias_sums.add(box, band, base, steps * kStep, grid);
    }
    if constexpr (kOneBand<D>) break;
  }

  const auto to = tile.view(grid, args.grad_q, args.grad_q_strides);
  store_rows<D>(to.at(at.y, at.x), to.row, at.inside, grad_q, {args.scale, args.scale});
  if (!part) return;
  __syncthreads();
  for (int i = threadIdx.x; i < grid.table(); i += kTileWarps * device::kWarp) {
    float sum = sums[i];
    for (int w = 1; w < kTileWarps; ++w) sum += sums[w * warp_sums + i];
    part[i] = sum;
  }
}

template <typename T, int D>
int launch_query_gradients(const Na2dBackward<T>& args, float* delta, float* parts, void* stream) {
  const TileGrid grid(args.shape);
  const int64_t warp_bytes = parts ? bias_sums_bytes(grid) : 0;
  const int64_t other_bytes = table_bytes(grid) + kTileWarps * warp_bytes;
  const int capacity = box_capacity<HalfBox<D>>(room_for_keys(grid), other_bytes);
  return launch_blocks(tiled_query_kernel<T, D>, args.shape.batch * args.shape.heads * grid.tiles_of_head(),
                       kTileWarps, 2 * box_bytes<HalfBox<D>>(capacity) + other_bytes, stream, args, grid, capacity,
                       delta, parts, static_cast<int>(warp_bytes / sizeof(float)));
}

}  // namespace

template <typename T>
int tiled_query_gradients(const Na2dBackward<T>& args, float* delta, float* parts, void* stream) {
  return for_head_dim(args.shape, [&](auto dim) {
    return launch_query_gradients<T, decltype(dim)::value>(args, delta, parts, stream);
  });
}

template int tiled_query_gradients(const Na2dBackward<bf16>&, float*, float*, void*);
template int tiled_query_gradients(const Na2dBackward<f16>&, float*, float*, void*);

}  // namespace smalti::na2d
