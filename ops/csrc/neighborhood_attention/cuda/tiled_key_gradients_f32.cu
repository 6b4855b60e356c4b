// Backward pass in f32, second kernel: tiles of keys gather dK and dV from the queries that see them, the inverse
// neighbourhood. A patch holds keys here, the box queries.
#include "launch.h"
#include "patch.h"
#include "tiled.h"

namespace smalti::na2d {
namespace {

// A lane's key, and the ranks of the queries that see it; none of a key outside the tile.
struct OwnKey {
  int y, x;
  Range rows, columns;

  template <int D>
  __device__ __forceinline__ OwnKey(const Patch<D>& at, const Tile& tile, const TileGrid& grid)
      : y(at.y + at.own() / 2), x(at.x + at.own() % 2), rows{0, 0}, columns{0, 0} {
    if (!at.inside(at.own())) return;
    rows = queries_of_key(y, tile.length_y, grid.window_y);
    columns = queries_of_key(x, tile.length_x, grid.window_x);
  }

  __device__ __forceinline__ bool seen_by(const Rank& query) const {
    return query.y >= rows.first && query.y < rows.end && query.x >= columns.first && query.x < columns.end;
  }
};

// Shared memory: boxes of queries and of output gradients, their lse and delta, the bias table.
template <int D>
__global__ void __launch_bounds__(FloatBox<D>::kThreads, kBlocks<D, 255>)
    tiled_key_f32_kernel(const Na2dBackward<float> args, const TileGrid grid, int capacity, const float* all_delta) {
  constexpr int kOwn = FloatBox<D>::kOwn;
  SMALTI_DYNAMIC_SHARED(unsigned char, shared);
  unsigned char* queries = shared;
  unsigned char* grads_out = queries + box_bytes<FloatBox<D>>(capacity);
  float* lse = reinterpret_cast<float*>(grads_out + box_bytes<FloatBox<D>>(capacity));
  float* delta = lse + capacity;
  float* entries = delta + capacity;
  const Tile tile(grid, blockIdx.x);
  if (tile.empty()) return;
  const Box box(queries_of_keys(tile.rows, tile.length_y, grid.window_y),
                queries_of_keys(tile.columns, tile.length_x, grid.window_x), capacity);
  const auto q = tile.view(grid, args.q, args.q_strides);
  const auto grad_out = tile.view(grid, args.grad_out, args.grad_out_strides);

  const Patch<D> at(tile);
  const OwnKey key(at, tile, grid);
  Range rows{0, 0}, columns{0, 0};  // of the queries that see the patch
  if (!at.empty()) {
    rows = queries_of_keys(at.rows, tile.length_y, grid.window_y);
    columns = queries_of_keys(at.columns, tile.length_x, grid.window_x);
  }
  const BiasTable table(entries, args.bias, grid, tile.m, false);
  const PatchRows<D> k(tile.view(grid, args.k, args.k_strides), at);
  const PatchRows<D> v(tile.view(grid, args.v, args.v_strides), at);
  const float scale = args.scale * kLog2E;
  PatchRows<D> grad_k, grad_v;
  for (int y = box.rows.first; y < box.rows.end; y += box.band_rows) {
    const Range band = box.band_at(y);
    if (y > box.rows.first) __syncthreads();  // the last band has been read
    copy_band<FloatBox<D>>(queries, q, grads_out, grad_out, box, band);
    device::commit_copies();
    copy_statistics(lse, delta, tile.dense_view(grid, args.lse, 1), tile.dense_view(grid, all_delta, 1), box, band, 0);
    const Walk walk(rows, columns, box, band);
    const int end = walk.end();
    device::wait_copies<0>();
    __syncthreads();

    for (int base = 0; base < end; base += kTaken) {
      const Taken<D> taken(walk, base, at);
      float weights[kOwn], grads[kOwn];
      multiply(weights, k, queries, taken, at);
      __syncwarp();  // keeps the products apart: together they would need more registers than there are
      multiply(grads, v, grads_out, taken, at);
      SMALTI_UNROLL
      for (int i = 0; i < kOwn; ++i) {
        const int number = base + at.own_first() + i;
        const Rank query = walk.rank(number);
        float weight = 0, grad = 0;
        if (number < walk.count && key.seen_by(query)) {
          const int token = walk.token(number);
          const float bias = *table.at(key.y - query.y, key.x - query.x, grid);
          weight = device::exp2_fast(weights[i] * scale + bias - lse[token]);
          grad = weight * (grads[i] - delta[token]);
        }
        weights[i] = weight, grads[i] = grad;
      }
      add_weighted(grad_v, weights, grads_out, taken);
      add_weighted(grad_k, grads, queries, taken);
    }
  }

  SMALTI_UNROLL
  for (int r = 0; r < kPatch; ++r) grad_k.scale(r, args.scale);
  grad_k.store(tile.view(grid, args.grad_k, args.grad_k_strides), at);
  grad_v.store(tile.view(grid, args.grad_v, args.grad_v_strides), at);
}

template <int D>
int launch_key_gradients(const Na2dBackward<float>& args, const float* delta, void* stream) {
  const TileGrid grid(args.shape);
  constexpr int kStatisticsBytes = 2 * sizeof(float);
  const int capacity = box_capacity<FloatBox<D>>(room_for_queries(grid), table_bytes(grid), kStatisticsBytes);
  const int64_t bytes = 2 * box_bytes<FloatBox<D>>(capacity) + capacity * kStatisticsBytes + table_bytes(grid);
  return launch_blocks(tiled_key_f32_kernel<D>, args.shape.batch * args.shape.heads * grid.tiles_of_head(),
                       FloatBox<D>::kThreads / device::kWarp, bytes, stream, args, grid, capacity, delta);
}

}  // namespace

template <>
int tiled_key_gradients(const Na2dBackward<float>& args, const float* delta, void* stream) {
  return for_head_dim(args.shape, [&](auto dim) {
    return launch_key_gradients<decltype(dim)::value>(args, delta, stream);
  });
}

}  // namespace smalti::na2d
