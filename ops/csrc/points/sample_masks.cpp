// Bilinear samples of binary masks at points. Composed of libtorch's ops this takes some thirty passes over all points, with 64-bit
// indices among them; here it is one, four bytes read a point.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "../border.h"
#include "../tensors.h"

namespace smalti::points {

namespace {

using at::Tensor;

constexpr char kOp[] = "sample_masks";
constexpr int64_t kBlock = 256;  // points whose corners stay in the first cache

// In pixels, 0 the centre of the first one, rounded in the steps of libtorch's grid_sampler. What lies further off than the pixels
// next to the edge counts nothing, and neither does what is no number: both come to stand just there.
template <typename T>
T pixels(T point, int64_t extent) {
  const T pixel = ((point * 2 - 1 + 1) * T(extent) - 1) * T(0.5);
  if (!(pixel > T(-2))) return T(-2);
  return pixel < T(extent) + 1 ? pixel : T(extent) + 1;
}

// std::floor is a call of a function where the processor's rounding may not be used; these values are small.
template <typename T>
T rounded_down(T x) {
  const T cut = T(int64_t(x));
  return cut - T(cut > x);
}

// The four pixels around a point: where they lie in a mask and how much they count, nothing beyond its edges.
template <typename T>
struct Corners {
  int32_t offset[4];
  T weight[4];

  // point [2], x and y in [0, 1]
  Corners(const T* point, int64_t height, int64_t width) {
    const T x = pixels(point[0], width), y = pixels(point[1], height);
    const T left = rounded_down(x), top = rounded_down(y);
    set(0, x, y, left, top, height, width);
    set(1, x, y, left + 1, top, height, width);
    set(2, x, y, left, top + 1, height, width);
    set(3, x, y, left + 1, top + 1, height, width);
  }

  void set(int corner, T x, T y, T column, T row, int64_t height, int64_t width) {
    const bool inside = row >= 0 && row < T(height) && column >= 0 && column < T(width);
    offset[corner] = inside ? int32_t(row) * int32_t(width) + int32_t(column) : 0;
    weight[corner] = inside ? (1 - std::abs(y - row)) * (1 - std::abs(x - column)) : 0;
  }

  T sample(const uint8_t* mask) const {
    return T(mask[offset[0]]) * weight[0] + T(mask[offset[1]]) * weight[1] + T(mask[offset[2]]) * weight[2] +
           T(mask[offset[3]]) * weight[3];
  }
};

// The masks of a batch at points [M, P, 2], or [1, P, 2] for all of them -> out [M, P].
template <typename T>
struct Sampler {
  const uint8_t* masks;  // [N, H, W]
  const int64_t* which;  // [M]
  int64_t sets, height, width;
  const T* points;
  int64_t count;  // P
  T* out;

  const uint8_t* mask(int64_t set) const { return masks + which[set] * height * width; }

  void each_its_own() const {
    const int64_t grain = std::max<int64_t>(1, 8192 / std::max<int64_t>(count, 1));
    at::parallel_for(0, sets, grain, [this](int64_t first, int64_t end) {
      for (int64_t set = first; set < end; ++set) {
        const uint8_t* pixels = mask(set);
        for (int64_t i = set * count; i < (set + 1) * count; ++i)
          out[i] = Corners<T>(points + 2 * i, height, width).sample(pixels);
      }
    });
  }

  // Block by block, so that the corners of a block's points are found once and stay in the first cache for all masks.
  void all_the_same() const {
    const int64_t blocks = (count + kBlock - 1) / kBlock, grain = std::max<int64_t>(1, 32 / std::max<int64_t>(sets, 1));
    at::parallel_for(0, blocks, grain, [this](int64_t first, int64_t end) {
      std::vector<Corners<T>> corners;
      corners.reserve(kBlock);
      for (int64_t block = first; block < end; ++block) {
        const int64_t begin = block * kBlock, stop = std::min(begin + kBlock, count);
        corners.clear();
        for (int64_t i = begin; i < stop; ++i) corners.emplace_back(points + 2 * i, height, width);
        for (int64_t set = 0; set < sets; ++set) {
          const uint8_t* pixels = mask(set);
          for (int64_t i = begin; i < stop; ++i) out[set * count + i] = corners[i - begin].sample(pixels);
        }
      }
    });
  }
};

void check(const Tensor& masks, const Tensor& which, const Tensor& points) {
  for (const auto& [name, t] : {std::pair{"masks", &masks}, {"which", &which}, {"points", &points}})
    if (!t->is_cpu()) throw Refusal(kOp, name, "a tensor on the CPU", c10::str(t->device()));
  if (masks.dim() != 3 || (masks.scalar_type() != at::kByte && masks.scalar_type() != at::kBool))
    throw Refusal(kOp, "masks", "[N, H, W] of u8 or bool", c10::str(masks.sizes(), " of ", masks.scalar_type()));
  if (masks.size(1) * masks.size(2) > std::numeric_limits<int32_t>::max())
    throw Refusal(kOp, "masks", "fewer than 2^31 pixels a mask", c10::str(masks.sizes()));
  if (which.dim() != 1 || which.scalar_type() != at::kLong)
    throw Refusal(kOp, "which", "[M] of i64", c10::str(which.sizes(), " of ", which.scalar_type()));
  if (points.scalar_type() != at::kFloat && points.scalar_type() != at::kDouble)
    throw Refusal(kOp, "points", "f32 or f64", c10::toString(points.scalar_type()));
  if (points.dim() != 3 || points.size(2) != 2 || (points.size(0) != 1 && points.size(0) != which.size(0)))
    throw Refusal(kOp, "points", c10::str("[", which.size(0), ", P, 2] or [1, P, 2]"), c10::str(points.sizes()));
  const auto [indices, count] = std::pair{which.contiguous(), which.size(0)};
  const int64_t* each = indices.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < count; ++i)
    if (each[i] < 0 || each[i] >= masks.size(0))
      throw Refusal(kOp, c10::str("which[", i, "]"), c10::str("0 to ", masks.size(0) - 1), c10::str(each[i]));
}

// masks [N, H, W], which [M], points [M, P, 2] or [1, P, 2] -> [M, P]
Tensor sample(const Tensor& masks, const Tensor& which, const Tensor& points) {
  check(masks, which, points);
  const Tensor dense = masks.contiguous(), indices = which.contiguous(), places = points.contiguous();
  const int64_t sets = which.size(0), count = points.size(1);
  Tensor out = at::empty({sets, count}, points.options());
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    const Sampler<T> sampler{data<uint8_t>(dense), indices.const_data_ptr<int64_t>(), sets,  masks.size(1),
                             masks.size(2),        data<T>(places),                   count, mutable_data<T>(out)};
    points.size(0) == 1 ? sampler.all_the_same() : sampler.each_its_own();
  };
  points.scalar_type() == at::kDouble ? run(double{}) : run(float{});
  return out;
}

}  // namespace

}  // namespace smalti::points

extern "C" char* smalti_sample_masks(at::Tensor** out, const at::Tensor* masks, const at::Tensor* which,
                                     const at::Tensor* points) {
  return smalti::guarded([&] { *out = new at::Tensor(smalti::points::sample(*masks, *which, *points)); });
}
