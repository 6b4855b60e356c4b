// The gradient of the value in a fixed order. A block owns a tile, some rows of one level of one (image, head), and
// sums them in shared memory. Its warps look through all points of the level, each through a share of its own, and list
// those with a corner in the tile; when the lists are full, each warp adds from all lists, in order, to the rows that it
// owns. So every row has one writer, whose order the inputs decide, and neither atomics nor sorting are needed.
#include "gather.h"

#include "channels.h"

namespace smalti::deform {
namespace {

constexpr int kWarps = 8;
constexpr int kListSize = 64;  // of a warp; a step adds up to 32
constexpr int64_t kTileBytes = 24 * 1024;  // with the lists below 48 KiB, in f64 too
constexpr int kResident = 4;  // blocks on a multiprocessor, for ptxas
constexpr int kAhead = 4;  // gradient rows that are loaded before the first is added

template <typename C>
struct Hit {
  int query;   // of the image
  int packed;  // row of corner 0 within the tile (may be negative) * 16 + mask of the corners in the tile
  C share[4];
};

struct Lists {
  int count[kWarps];
  int unfinished[kWarps];  // whether the warp has points left
};

template <typename T>
int tile_rows(int head_dim) {
  const int64_t rows = kTileBytes / (head_dim * static_cast<int64_t>(sizeof(Compute<T>)));
  return rows > 0 ? static_cast<int>(rows) : 1;
}

struct Tile {
  int64_t image;
  int head, level;
  int first, rows;  // within the level
};

// Blocks are ordered (image, level, tile, head).
__device__ __forceinline__ Tile tile_of(const Shape& s, int64_t tiles, int rows_of_tile) {
  const unsigned heads = static_cast<unsigned>(s.heads);
  const int64_t unit = blockIdx.x / heads;
  Tile tile{unit / tiles, static_cast<int>(blockIdx.x % heads), 0, 0, 0};
  int64_t at = unit % tiles;
  for (;; ++tile.level) {
    const int cells = s.level[tile.level].width * s.level[tile.level].height;
    const int of_level = (cells + rows_of_tile - 1) / rows_of_tile;
    if (at < of_level) {
      tile.first = static_cast<int>(at) * rows_of_tile;
      tile.rows = cells - tile.first < rows_of_tile ? cells - tile.first : rows_of_tile;
      return tile;
    }
    at -= of_level;
  }
}

// A lane's way through the points of the level: 32 at a time per warp, the warps in turn.
class Walk {
 public:
  __device__ __forceinline__ Walk(int points, int warp, int lane) : points_(points) {
    const int start = warp * device::kWarp + lane, stride = kWarps * device::kWarp;
    query = start / points, point = start % points;
    query_step_ = stride / points, point_step_ = stride % points;
  }
  __device__ __forceinline__ void step() {
    query += query_step_, point += point_step_;
    if (point >= points_) point -= points_, ++query;
  }

  int query, point;

 private:
  int points_, query_step_, point_step_;
};

// Lists the points with corners in the tile until the list may not hold another step's or `walk` is at its end.
template <typename T>
__device__ __forceinline__ int find_hits(const GatherArgs<T>& a, const Tile& tile, Walk& walk,
                                         Hit<Compute<T>>* list) {
  using C = Compute<T>;
  const Shape& s = a.shape;
  const Level level = s.level[tile.level];
  const int count = s.levels * s.points;
  int found = 0;
  while (found + device::kWarp <= kListSize && device::vote(walk.query < s.queries)) {
    int mask = 0;
    Tap<C> tap = {};
    int64_t row = 0;
    const int point = tile.level * s.points + walk.point;
    if (walk.query < s.queries) {
      const int64_t query = tile.image * s.queries + walk.query;
      row = query * s.heads + tile.head;
      tap = find_tap(level, a.reference + (query * s.levels + tile.level) * 2, a.offsets + (row * count + point) * 2,
                     C(0));
      tap.row -= level.start + tile.first;
      for (int c = 0; c < 4; ++c)
        mask |= (tap.has(c) && tap.row_of(c) >= 0 && tap.row_of(c) < tile.rows ? 1 : 0) << c;
    }
    const unsigned hits = device::vote(mask != 0);
    if (mask != 0) {
      tap.weight = a.softmax[row].weight(a.logits[row * count + point]);
      const unsigned before = hits & ((1u << device::lane()) - 1);
      Hit<C>& hit = list[found + device::count_bits(before)];
      hit.query = walk.query, hit.packed = tap.row * 16 + mask;
      tap.shares(hit.share);
    }
    found += device::count_bits(hits);
    walk.step();
  }
  return found;
}

// Adds the hits of one list to the rows of the tile that the warp owns.
template <typename T>
__device__ __forceinline__ void add_hits(const Hit<Compute<T>>* list, int count, int width, unsigned warp, int head_dim,
                                         const T* grad_out, int64_t query_stride, Compute<T>* sums) {
  using C = Compute<T>;
  for (int channel = device::lane(); channel < head_dim; channel += device::kWarp) {
    for (int begin = 0; begin < count; begin += kAhead) {
      C grad[kAhead];
      SMALTI_UNROLL
      for (int i = 0; i < kAhead; ++i)
        grad[i] = begin + i < count ? widen(grad_out[list[begin + i].query * query_stride + channel]) : C(0);
      SMALTI_UNROLL
      for (int i = 0; i < kAhead; ++i) {
        if (begin + i >= count) break;
        const Hit<C>& hit = list[begin + i];
        SMALTI_UNROLL
        for (int c = 0; c < 4; ++c) {
          if (!(hit.packed >> c & 1)) continue;
          const unsigned row = static_cast<unsigned>((hit.packed >> 4) + (c & 1) + (c & 2 ? width : 0));
          if (row % kWarps == warp) sums[row * head_dim + channel] += hit.share[c] * grad[i];
        }
      }
    }
  }
}

template <typename T>
__global__ void __launch_bounds__(kWarps* device::kWarp, kResident)
    gather_kernel(const __grid_constant__ GatherArgs<T> a, int64_t tiles, int rows_of_tile) {
  using C = Compute<T>;
  SMALTI_DYNAMIC_SHARED(C, sums);  // [rows_of_tile, D]
  SMALTI_SHARED(Hit<C>, hits, kWarps * kListSize);
  SMALTI_SHARED(Lists, lists, 1);
  const Shape& s = a.shape;
  const Tile tile = tile_of(s, tiles, rows_of_tile);
  const int thread = static_cast<int>(threadIdx.x), warp = thread / device::kWarp;
  const int size = tile.rows * s.head_dim;
  for (int i = thread; i < size; i += kWarps * device::kWarp) sums[i] = 0;

  const int64_t query_stride = static_cast<int64_t>(s.heads) * s.head_dim;
  const T* grad_out = a.grad_out + tile.image * s.queries * query_stride + tile.head * s.head_dim;
  Walk walk(s.points, warp, device::lane());
  int unfinished = 1;
  while (unfinished) {
    const int found = find_hits(a, tile, walk, hits + warp * kListSize);
    const bool more = device::vote(walk.query < s.queries) != 0;
    if (device::lane() == 0) lists[0].count[warp] = found, lists[0].unfinished[warp] = more;
    __syncthreads();
    unfinished = 0;
    for (int w = 0; w < kWarps; ++w) {
      unfinished |= lists[0].unfinished[w];
      add_hits(hits + w * kListSize, lists[0].count[w], s.level[tile.level].width, static_cast<unsigned>(warp),
               s.head_dim, grad_out, query_stride, sums);
    }
    __syncthreads();
  }

  // [S, M, D] of the image
  const int64_t first = tile.image * s.positions + s.level[tile.level].start + tile.first;
  for (int i = thread; i < size; i += kWarps * device::kWarp) {
    const int64_t row = (first + i / s.head_dim) * s.heads + tile.head;
    a.grad_value[row * s.head_dim + i % s.head_dim] = narrow<T>(sums[i]);
  }
}

}  // namespace

template <typename T>
int gather_value_gradient(const GatherArgs<T>& args, int64_t batch, void* stream) {
  const Shape& s = args.shape;
  const int rows = tile_rows<T>(s.head_dim);
  int64_t tiles = 0;
  for (int l = 0; l < s.levels; ++l) tiles += (s.level[l].width * s.level[l].height + rows - 1) / rows;
  const size_t bytes = static_cast<size_t>(rows) * static_cast<size_t>(s.head_dim) * sizeof(Compute<T>);
  return launch_blocks(gather_kernel<T>, batch * tiles * s.heads, kWarps * device::kWarp, bytes, stream, args, tiles,
                       rows);
}

template int gather_value_gradient(const GatherArgs<float>&, int64_t, void*);
template int gather_value_gradient(const GatherArgs<double>&, int64_t, void*);
template int gather_value_gradient(const GatherArgs<bf16>&, int64_t, void*);
template int gather_value_gradient(const GatherArgs<f16>&, int64_t, void*);

}  // namespace smalti::deform
