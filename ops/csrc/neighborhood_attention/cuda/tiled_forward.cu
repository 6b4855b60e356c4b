// Forward pass on tensor cores. A warp has 16 queries, and their scores against a chunk of keys in registers; larger
// windows than a chunk rescale between chunks.
#include "launch.h"
#include "mma.h"
#include "queries.h"
#include "tiled.h"

namespace smalti::na2d {
namespace {

// Registers limit the keys that a warp has at a time.
template <int D>
constexpr int kChunkSteps = D <= 32 ? 7 : 5;

// Shared memory: boxes of keys and of values, the bias table.
template <typename T, int D>
__global__ void __launch_bounds__(HalfBox<D>::kThreads, D <= 32 ? 4 : D == 64 ? 3 : 2)
    tiled_forward_kernel(const Na2dForward<T> args, const TileGrid grid, int capacity) {
  constexpr int kSteps = kChunkSteps<D>, kChunk = kSteps * kStep;
  SMALTI_DYNAMIC_SHARED(unsigned char, shared);
  unsigned char* keys = shared;
  unsigned char* values = keys + box_bytes<HalfBox<D>>(capacity);
  float* entries = reinterpret_cast<float*>(values + box_bytes<HalfBox<D>>(capacity));
  const Tile tile(grid, blockIdx.x);
  if (tile.empty()) return;
  const int warp = threadIdx.x / device::kWarp, t = device::lane() % 4;
  const Box box(keys_of_queries(tile.rows, tile.length_y, grid.window_y),
                keys_of_queries(tile.columns, tile.length_x, grid.window_x), capacity);
  const auto k = tile.view(grid, args.k, args.k_strides), v = tile.view(grid, args.v, args.v_strides);

  const LaneTokens at(tile, warp);
  const Range own_rows = warp_rows(tile, warp);
  Range needed{0, 0};  // rows of keys
  if (own_rows.first < own_rows.end) needed = keys_of_queries(own_rows, tile.length_y, grid.window_y);
  const float scale = args.scale * kLog2E;

  float out[D / 8][4] = {};
  float top[2] = {-INFINITY, -INFINITY}, total[2] = {};
  const BiasTable table(entries, args.bias, grid, tile.m, box.inner(tile) && box.one_band());
  const TokenRows<D> q(tile.view(grid, args.q, args.q_strides), at);
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
    for (int base = first; base < end; base += kChunk) {
      const BoxReader<D> reader(base);
      const int steps = ceil_div(smaller(end - base, kChunk), kStep);
      float scores[2 * kSteps][4];
      float chunk_top[2] = {-INFINITY, -INFINITY};
      SMALTI_UNROLL
      for (int step = 0; step < kSteps; ++step) {
        if (step >= steps) break;
        SMALTI_UNROLL
        for (int block = 2 * step; block < 2 * step + 2; ++block) {
          float(&s)[4] = scores[block];
          s[0] = s[1] = s[2] = s[3] = 0;
          add_scores<T>(s, q, keys + block * 8 * D * 2, reader);
          mask<kOneBand<D>>(s, base + block * 8 + 2 * t, box, queries, grid, table, scale);
          chunk_top[0] = fmaxf(chunk_top[0], fmaxf(s[0], s[1]));
          chunk_top[1] = fmaxf(chunk_top[1], fmaxf(s[2], s[3]));
        }
      }

      float shift[2];
      SMALTI_UNROLL
      for (int r = 0; r < 2; ++r) {
        const float last = top[r];
        top[r] = fmaxf(last, lanes_max<4>(chunk_top[r]));
        shift[r] = top[r] == -INFINITY ? 0.0f : top[r];  // no key of the row so far: exponents stay -inf
        const float shrink = device::exp2_fast(last - shift[r]);
        total[r] *= shrink;
        SMALTI_UNROLL
        for (int i = 0; i < D / 8; ++i) out[i][2 * r] *= shrink, out[i][2 * r + 1] *= shrink;
      }
      SMALTI_UNROLL
      for (int block = 0; block < 2 * kSteps; ++block) {
        if (block >= 2 * steps) break;
        SMALTI_UNROLL
        for (int i = 0; i < 4; ++i) {
          scores[block][i] = device::exp2_fast(scores[block][i] - shift[i / 2]);
          total[i / 2] += scores[block][i];
        }
      }
      SMALTI_UNROLL
      for (int step = 0; step < kSteps; ++step) {
        if (step >= steps) break;
        uint32_t weights[4];
        to_operand<T>(weights, scores[2 * step], scores[2 * step + 1]);
        add_weighted<T>(out, weights, values + step * kStep * D * 2, reader);
      }
    }
    if constexpr (kOneBand<D>) break;
  }

  float factor[2];
  SMALTI_UNROLL
  for (int r = 0; r < 2; ++r) {
    total[r] = lanes_sum<4>(total[r]);
    factor[r] = 1 / total[r];
  }
  const auto to = tile.dense_view(grid, args.out, D);
  store_rows<D>(to.at(at.y, at.x), to.row, at.inside, out, factor);
  if (args.lse && t == 0) {
    const auto lse = tile.dense_view(grid, args.lse, 1);
    SMALTI_UNROLL
    for (int r = 0; r < 2; ++r)
      if (at.inside[r]) *lse.at(at.y + r, at.x) = (top[r] + device::log2_fast(total[r])) * kLn2;
  }
}

template <typename T, int D>
int launch_forward(const Na2dForward<T>& args, void* stream) {
  const TileGrid grid(args.shape);
  const int capacity = box_capacity<HalfBox<D>>(room_for_keys(grid), table_bytes(grid));
  return launch_blocks(tiled_forward_kernel<T, D>, args.shape.batch * args.shape.heads * grid.tiles_of_head(),
                       kTileWarps, 2 * box_bytes<HalfBox<D>>(capacity) + table_bytes(grid), stream, args, grid,
                       capacity);
}

}  // namespace

template <typename T>
int tiled_forward(const Na2dForward<T>& args, void* stream) {
  return for_head_dim(args.shape, [&](auto dim) { return launch_forward<T, decltype(dim)::value>(args, stream); });
}

template int tiled_forward(const Na2dForward<bf16>&, void*);
template int tiled_forward(const Na2dForward<f16>&, void*);

}  // namespace smalti::na2d
