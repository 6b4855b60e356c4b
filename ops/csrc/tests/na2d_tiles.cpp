// Host side of the tiled CUDA kernels of 2D neighborhood attention: which arguments take them, and that boxes of every
// window fit into shared memory. Exits 1 on the first failure.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "../neighborhood_attention/cuda/bias_sums.h"
#include "../neighborhood_attention/cuda/patch.h"
#include "../neighborhood_attention/cuda/tiled.h"

namespace {

using namespace smalti;
using namespace smalti::na2d;

long checks = 0;

template <typename T>
void check_selection(const char* type, bool has_tiles) {
  // Of each tensor, [1, 16, width, 1, head_dim]: where it begins and the elements from token to token.
  constexpr int kTensors = 8;
  struct Tensor {
    int64_t begin, step;
  };
  alignas(16) static T memory[16];
  const auto takes = [&](int64_t head_dim, int64_t width, const Tensor (&at)[kTensors]) {
    const Na2dShape shape{1, 16, width, 1, head_dim, 7, 7, 1, 1};
    T* p[kTensors];
    Strides s[kTensors];
    for (int i = 0; i < kTensors; ++i)
      p[i] = memory + at[i].begin, s[i] = {16 * width * at[i].step, width * at[i].step, at[i].step, head_dim};
    const Na2dForward<T> forward{shape, 1, p[0], p[1], p[2], s[0], s[1], s[2], nullptr, p[3], nullptr};
    const Na2dBackward<T> backward{shape, 1,    p[0], p[1], p[2], s[0], s[1], s[2], nullptr, nullptr,
                                   p[3],  p[4], s[4], p[5], p[6], p[7], s[5], s[6], s[7],    nullptr};
    return std::make_pair(takes_tiles(forward), takes_tiles(backward));
  };
  using Both = std::pair<bool, bool>;
  for (int64_t head_dim = 1; head_dim <= 260; ++head_dim) {
    const auto expect = [&](bool holds, const char* what) {
      ++checks;
      if (holds) return;
      printf("na2d_tiles: tensors of %s with %d channels, %s\n", type, static_cast<int>(head_dim), what);
      exit(1);
    };
    const bool fast = has_tiles && (head_dim == 16 || head_dim == 32 || head_dim == 64 || head_dim == 128);
    const auto dense = [&](Tensor (&at)[kTensors]) { std::fill_n(at, kTensors, Tensor{0, head_dim}); };
    Tensor at[kTensors];
    dense(at);
    expect(takes(head_dim, 16, at) == Both(fast, fast), "contiguous");
    for (int i = 0; i < kTensors; ++i) {
      const bool in_forward = i < 4;
      dense(at), at[i].begin = 1;
      expect(takes(head_dim, 16, at) == Both(fast && !in_forward, false), "off 16 bytes");
      if (i == 3) continue;  // out is contiguous
      dense(at), at[i].step = 3 * head_dim;
      expect(takes(head_dim, 16, at) == Both(fast, fast), "packed");
      dense(at), at[i].step = head_dim + 16 / static_cast<int64_t>(sizeof(T)) / 2;
      expect(takes(head_dim, 16, at) == Both(fast && !in_forward, false), "tokens off 16 bytes");
      dense(at), at[i].step = int64_t{1} << 31;
      expect(takes(head_dim, 16, at) == Both(fast && !in_forward, false), "offsets beyond 32 bits");
    }
  }
}

// A band of a box has room for a row at least, what lies behind a box stays aligned for pairs of tokens, and a block
// takes no more shared memory than every device has.
template <typename Layout>
void check_room(const char* layout, const Na2dShape& shape, int64_t stage_bytes, int64_t stored_bytes) {
  const TileGrid grid(shape);
  const auto check = [&](Room wanted, int64_t other_bytes, int token_bytes) {
    const int capacity = box_capacity<Layout>(wanted, other_bytes, token_bytes);
    const int64_t boxes = 2 * box_bytes<Layout>(capacity) + (capacity + Layout::kPast) * token_bytes;
    ++checks;
    if (capacity >= wanted.row && capacity % 2 == 0 && boxes + other_bytes <= kMostSharedBytes) return;
    printf("na2d_tiles: boxes %s of a window of %dx%d have room for %d tokens, %d bytes\n", layout, grid.window_y,
           grid.window_x, capacity, static_cast<int>(boxes + other_bytes));
    exit(1);
  };
  check(room_for_keys(grid), table_bytes(grid), 0);
  check(room_for_keys(grid), table_bytes(grid) + stage_bytes, 0);
  check(room_for_queries(grid), table_bytes(grid) + stored_bytes, 2 * sizeof(float));
}

template <int D>
void check_rooms() {
  for (int64_t y = 1; y <= 13; y += 2)
    for (int64_t x = 1; x <= 13; x += 2)
      for (int64_t more = 0; more <= 20; ++more) {
        const Na2dShape shape{1, y + more, x + more, 1, D, y, x, 1, 1};
        const TileGrid grid(shape);
        check_room<HalfBox<D>>("of halves", shape, kTileWarps * bias_sums_bytes(grid), 2 * kStoredBytes<D>);
        check_room<FloatBox<D>>("of f32", shape, stage_bytes(grid), 0);
      }
}

}  // namespace

int main() {
  check_selection<float>("f32", true), check_selection<double>("f64", false);
  check_selection<bf16>("bf16", true), check_selection<f16>("f16", true);
  check_rooms<16>(), check_rooms<32>(), check_rooms<64>(), check_rooms<128>();
  printf("na2d_tiles: %ld checks hold\n", checks);
  return 0;
}
