// Backward pass on tensor cores, second kernel: tiles of keys gather dK and dV from the queries that see them, the
// inverse neighbourhood. Scores are transposed here: a warp's 16 rows are keys, the box holds queries.
#include "launch.h"
#include "mma.h"
#include "tiled.h"

namespace smalti::na2d {
namespace {

// A lane's two keys, rows of the accumulators, seen from a band of the box. By the inverse neighbourhood the queries
// that see a key are ranges.
struct Keys {
  int x, y[2];               // the band's first token in them
  unsigned count_x, count_y[2];
  const float* entry[2];     // its bias

  __device__ __forceinline__ Keys(const LaneTokens& at, const Tile& tile, const Box& box, Range band,
                                  const TileGrid& grid, const BiasTable& table) {
    const Range seen = queries_of_key(at.x, tile.length_x, grid.window_x);
    x = box.columns.first - seen.first, count_x = seen.end - seen.first;
    SMALTI_UNROLL
    for (int r = 0; r < 2; ++r) {
      const Range rows = queries_of_key(at.y + r, tile.length_y, grid.window_y);
      y[r] = band.first - rows.first, count_y[r] = at.inside[r] ? rows.end - rows.first : 0;
    }
    entry[0] = table.at(at.y - band.first, at.x - box.columns.first, grid);
    entry[1] = entry[0] + table.pitch;
  }
};

// Scores of two neighbouring tokens of the band to the weights of their softmax; 0 where a query does not see the key.
__device__ __forceinline__ void weigh(float (&scores)[4], int token, const Box& box, const Keys& keys,
                                      const BiasTable& table, float scale, float2 lse) {
  const int row = row_in_box(token, box.reciprocal), column = token - row * box.pitch;
  const int entry = row * table.pitch + column;
  SMALTI_UNROLL
  for (int i = 0; i < 4; ++i) {
    const int r = i / 2, y = row + keys.y[r], x = column + keys.x + i % 2;
    const bool seen = static_cast<unsigned>(y) < keys.count_y[r] && static_cast<unsigned>(x) < keys.count_x;
    float exponent = -INFINITY;
    if (table.inner || seen) exponent = scores[i] * scale + keys.entry[r][-(entry + i % 2)];
    scores[i] = device::exp2_fast(exponent - (i % 2 ? lse.y : lse.x));
  }
}

// The tile's rows of k or v, stored at `shared` or in registers.
template <int D, typename T>
__device__ __forceinline__ auto own_rows(unsigned char* shared, const ClassView<const T>& tokens,
                                         const LaneTokens& at) {
  if constexpr (kStoresRows<D>)
    return StoredRows<D>(shared, tokens, at);
  else
    return TokenRows<D>(tokens, at);
}

// Shared memory: stored rows of keys and of values, boxes of queries and of output gradients, their lse and delta, the
// bias table.
template <typename T, int D>
__global__ void __launch_bounds__(HalfBox<D>::kThreads, D == 16 ? 4 : D == 32 ? 3 : 2)
    tiled_key_kernel(const Na2dBackward<T> args, const TileGrid grid, int capacity, const float* all_delta) {
  SMALTI_DYNAMIC_SHARED(unsigned char, shared);
  unsigned char* queries = shared + 2 * kStoredBytes<D>;
  unsigned char* grads_out = queries + box_bytes<HalfBox<D>>(capacity);
  float* lse = reinterpret_cast<float*>(grads_out + box_bytes<HalfBox<D>>(capacity));
  float* delta = lse + capacity + kStep;
  float* entries = delta + capacity + kStep;
  const Tile tile(grid, blockIdx.x);
  if (tile.empty()) return;
  const int warp = threadIdx.x / device::kWarp, t = device::lane() % 4;
  const Box box(queries_of_keys(tile.rows, tile.length_y, grid.window_y),
                queries_of_keys(tile.columns, tile.length_x, grid.window_x), capacity);
  const auto q = tile.view(grid, args.q, args.q_strides);
  const auto grad_out = tile.view(grid, args.grad_out, args.grad_out_strides);

  const LaneTokens at(tile, warp);
  const Range rows = warp_rows(tile, warp);
  Range needed{0, 0};  // rows of queries
  if (rows.first < rows.end) needed = queries_of_keys(rows, tile.length_y, grid.window_y);
  const BiasTable table(entries, args.bias, grid, tile.m, box.inner(tile) && box.one_band());
  const auto k = own_rows<D>(shared, tile.view(grid, args.k, args.k_strides), at);
  const auto v = own_rows<D>(shared + kStoredBytes<D>, tile.view(grid, args.v, args.v_strides), at);
  const float scale = args.scale * kLog2E;
  float grad_k[D / 8][4] = {}, grad_v[D / 8][4] = {};
  for (int y = box.rows.first; y < box.rows.end; y += box.band_rows) {
    const Range band = box.band_at(y);
    if (y > box.rows.first) __syncthreads();  // the last band has been read
    copy_band<HalfBox<D>>(queries, q, grads_out, grad_out, box, band);
    device::commit_copies();
    const Keys keys(at, tile, box, band, grid, table);
    copy_statistics(lse, delta, tile.dense_view(grid, args.lse, 1), tile.dense_view(grid, all_delta, 1), box, band,
                    kStep);
    device::wait_copies<0>();
    __syncthreads();

    // The warp's tokens of the band; none where it has no keys.
    const int first = (larger(needed.first, band.first) - band.first) * box.pitch;
    const int end = (smaller(needed.end, band.end) - band.first) * box.pitch;
    for (int base = first; base < end; base += kStep) {
      // Where registers are short, the reader of each step, not the first one's and its distance to it.
      const BoxReader<D> reader(kStoresRows<D> ? base : first);
      const int from = kStoresRows<D> ? 0 : (base - first) * D * 2;
      float weights[2][4], grads[2][4];
      SMALTI_UNROLL
      for (int block = 0; block < 2; ++block) {
        const int from_block = from + block * 8 * D * 2;
        SMALTI_UNROLL
        for (int i = 0; i < 4; ++i) weights[block][i] = grads[block][i] = 0;
        add_scores<T>(weights[block], k, queries + from_block, reader);
        add_scores<T>(grads[block], v, grads_out + from_block, reader);
        const int token = base + block * 8 + 2 * t;
        weigh(weights[block], token, box, keys, table, scale, device::load<float2>(lse + token));
        const float2 deltas = device::load<float2>(delta + token);
        SMALTI_UNROLL
        for (int i = 0; i < 4; ++i)
          grads[block][i] = weights[block][i] * (grads[block][i] - (i % 2 ? deltas.y : deltas.x));
      }
      uint32_t operand[4];
      to_operand<T>(operand, weights[0], weights[1]);
      add_weighted<T>(grad_v, operand, grads_out + from, reader);
      to_operand<T>(operand, grads[0], grads[1]);
      add_weighted<T>(grad_k, operand, queries + from, reader);
    }
  }

  const auto to_k = tile.view(grid, args.grad_k, args.grad_k_strides);
  store_rows<D>(to_k.at(at.y, at.x), to_k.row, at.inside, grad_k, {args.scale, args.scale});
  const auto to_v = tile.view(grid, args.grad_v, args.grad_v_strides);
  store_rows<D>(to_v.at(at.y, at.x), to_v.row, at.inside, grad_v, {1, 1});
}

template <typename T, int D>
int launch_key_gradients(const Na2dBackward<T>& args, const float* delta, void* stream) {
  const TileGrid grid(args.shape);
  constexpr int kStatisticsBytes = 2 * sizeof(float);
  const int64_t other_bytes = 2 * kStoredBytes<D> + table_bytes(grid);
  const int capacity = box_capacity<HalfBox<D>>(room_for_queries(grid), other_bytes, kStatisticsBytes);
  const int64_t bytes = 2 * box_bytes<HalfBox<D>>(capacity) + (capacity + kStep) * kStatisticsBytes + other_bytes;
  return launch_blocks(tiled_key_kernel<T, D>, args.shape.batch * args.shape.heads * grid.tiles_of_head(), kTileWarps,
                       bytes, stream, args, grid, capacity, delta);
}

}  // namespace

template <typename T>
int tiled_key_gradients(const Na2dBackward<T>& args, const float* delta, void* stream) {
  return for_head_dim(args.shape, [&](auto dim) {
    return launch_key_gradients<T, decltype(dim)::value>(args, delta, stream);
  });
}

template int tiled_key_gradients(const Na2dBackward<bf16>&, const float*, void*);
template int tiled_key_gradients(const Na2dBackward<f16>&, const float*, void*);

}  // namespace smalti::na2d
