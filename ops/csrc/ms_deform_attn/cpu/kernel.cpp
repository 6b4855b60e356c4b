// CPU kernels of multi-scale deformable attention. Compiled once per instruction set with SMALTI_ISA naming the
// namespace; all helpers have internal linkage, so that the linker can not hand AVX-512 code to a machine without it.
//
// Channels are the vector axis. A query and head first turns its logits, offsets and reference points into a list of
// taps: four corners with their weights per point. Corners outside the level point at a row of zeros, so the loop over
// channels has no branches.
#include "kernel.h"

#include <math.h>

namespace smalti {
namespace SMALTI_ISA {
namespace {

template <typename T>
struct Tap {
  int64_t corner[4];  // row of the value: (y0, x0), (y0, x0 + 1), (y0 + 1, x0), (y0 + 1, x0 + 1); -1 = outside
  T x, y;             // fractions of the cell
  T weight;           // attention weight
};

inline float floor_of(float x) { return __builtin_floorf(x); }
inline double floor_of(double x) { return __builtin_floor(x); }
inline float exp_of(float x) { return expf(x); }
inline double exp_of(double x) { return exp(x); }

// The taps of one query and head. Points whose four corners all lie outside keep corners of -1 (and so no value).
template <typename T>
void find_taps(const DeformShape& s, const T* reference, const T* offsets, const T* logits, Tap<T>* taps) {
  const int64_t count = s.levels * s.points;
  T top = logits[0];
  for (int64_t i = 1; i < count; ++i) top = logits[i] > top ? logits[i] : top;
  T total = 0;
  for (int64_t i = 0; i < count; ++i) {
    taps[i].weight = exp_of(logits[i] - top);
    total += taps[i].weight;
  }
  const T inverse = T(1) / total;
  Tap<T>* tap = taps;
  for (int64_t l = 0; l < s.levels; ++l) {
    const DeformLevel level = s.level[l];
    const T base_x = reference[2 * l] * static_cast<T>(level.width) - T(0.5);
    const T base_y = reference[2 * l + 1] * static_cast<T>(level.height) - T(0.5);
    for (int64_t p = 0; p < s.points; ++p, ++tap, offsets += 2) {
      tap->weight *= inverse;
      const T x = base_x + offsets[0], y = base_y + offsets[1];
      tap->corner[0] = tap->corner[1] = tap->corner[2] = tap->corner[3] = -1;
      tap->x = tap->y = 0;
      // Written so that NaN and values beyond the integers fail it.
      if (!(x > T(-1) && y > T(-1) && x < static_cast<T>(level.width) && y < static_cast<T>(level.height))) continue;
      const T floor_x = floor_of(x), floor_y = floor_of(y);
      tap->x = x - floor_x, tap->y = y - floor_y;
      const int64_t x0 = static_cast<int64_t>(floor_x), y0 = static_cast<int64_t>(floor_y);
      const int64_t row = level.start + y0 * level.width + x0;
      const bool left = x0 >= 0, right = x0 + 1 < level.width, above = y0 >= 0, below = y0 + 1 < level.height;
      if (above && left) tap->corner[0] = row;
      if (above && right) tap->corner[1] = row + 1;
      if (below && left) tap->corner[2] = row + level.width;
      if (below && right) tap->corner[3] = row + level.width + 1;
    }
  }
}

// Bilinear weights times the attention weight.
template <typename T>
inline void corner_weights(const Tap<T>& tap, T* weights) {
  const T below = tap.y * tap.weight, above = tap.weight - below;
  weights[3] = below * tap.x, weights[2] = below - weights[3];
  weights[1] = above * tap.x, weights[0] = above - weights[1];
}

template <typename T>
struct Pointers {
  const T* corner[4];
};

template <typename T>
inline Pointers<T> pointers(const Tap<T>& tap, const T* map, int64_t stride, const T* zeros) {
  Pointers<T> at;
  for (int i = 0; i < 4; ++i) at.corner[i] = tap.corner[i] < 0 ? zeros : map + tap.corner[i] * stride;
  return at;
}

// Channels that one register holds. Loads and stores need no alignment.
#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif
template <typename T>
struct Channels;
template <>
struct Channels<float> {
  typedef float Vec __attribute__((vector_size(kBytes), aligned(4), may_alias));
  typedef float Four __attribute__((vector_size(16), aligned(4), may_alias));
};
template <>
struct Channels<double> {
  typedef double Vec __attribute__((vector_size(kBytes), aligned(8), may_alias));
  typedef double Four __attribute__((vector_size(32), aligned(8), may_alias));
};
template <typename T>
constexpr int kLanes = kBytes / sizeof(T);

// Sum of weighted rows. D = 0 means "any size, known at run time".
template <int D, typename T>
struct Sum {
  using Vec = typename Channels<T>::Vec;
  Vec parts[D / kLanes<T>] = {};

  void add(const T* const* rows, const T* weights, int64_t) {
    for (int i = 0; i < D / kLanes<T>; ++i)
      for (int c = 0; c < 4; ++c) parts[i] += weights[c] * *reinterpret_cast<const Vec*>(rows[c] + i * kLanes<T>);
  }
  void store(T* out, int64_t) const {
    for (int i = 0; i < D / kLanes<T>; ++i) *reinterpret_cast<Vec*>(out + i * kLanes<T>) = parts[i];
  }
};

template <typename T>
struct Sum<0, T> {
  T parts[kDeformMaxHeadDim] = {};

  void add(const T* const* rows, const T* weights, int64_t dim) {
    for (int64_t d = 0; d < dim; ++d)
      for (int c = 0; c < 4; ++c) parts[d] += weights[c] * rows[c][d];
  }
  void store(T* out, int64_t dim) const {
    for (int64_t d = 0; d < dim; ++d) out[d] = parts[d];
  }
};

// Adds the parts of four lanes each of a register (or of several, for doubles on narrow machines).
template <typename Four, typename Vec>
inline void fold(const Vec& v, Four* to) {
  if constexpr (sizeof(Vec) < sizeof(Four)) {
    *to = Four{v[0], v[1], 0, 0};
  } else {
    Four sum = reinterpret_cast<const Four*>(&v)[0];
    for (unsigned i = 1; i < sizeof(Vec) / sizeof(Four); ++i) sum += reinterpret_cast<const Four*>(&v)[i];
    *to = sum;
  }
}

// Dot products of a gradient with four rows.
template <int D, typename T>
inline void dots(const T* grad, const T* const* rows, T* result, int64_t dim) {
  if constexpr (D > 0) {
    using Vec = typename Channels<T>::Vec;
    using Four = typename Channels<T>::Four;
    Four partial[4];
    for (int c = 0; c < 4; ++c) {
      Vec sum = {};
      for (int i = 0; i < D / kLanes<T>; ++i)
        sum += *reinterpret_cast<const Vec*>(grad + i * kLanes<T>) *
               *reinterpret_cast<const Vec*>(rows[c] + i * kLanes<T>);
      fold(sum, &partial[c]);
    }
    // The four sums of four, as one transposition.
    const Four a = __builtin_shufflevector(partial[0], partial[1], 0, 4, 1, 5) +
                   __builtin_shufflevector(partial[0], partial[1], 2, 6, 3, 7);
    const Four b = __builtin_shufflevector(partial[2], partial[3], 0, 4, 1, 5) +
                   __builtin_shufflevector(partial[2], partial[3], 2, 6, 3, 7);
    *reinterpret_cast<Four*>(result) =
        __builtin_shufflevector(a, b, 0, 1, 4, 5) + __builtin_shufflevector(a, b, 2, 3, 6, 7);
  } else {
    for (int c = 0; c < 4; ++c) {
      result[c] = 0;
      for (int64_t d = 0; d < dim; ++d) result[c] += grad[d] * rows[c][d];
    }
  }
}

template <int D, typename T>
inline void add_scaled(T* __restrict to, T weight, const T* __restrict from, int64_t dim) {
  const int64_t n = D > 0 ? D : dim;
  for (int64_t d = 0; d < n; ++d) to[d] += weight * from[d];
}

template <int D, typename T>
void forward_range(const DeformForward<T>& a, int64_t begin, int64_t end) {
  const DeformShape& s = a.shape;
  const int64_t dim = D > 0 ? D : s.head_dim;
  const int64_t count = s.levels * s.points;
  Tap<T> taps[kDeformMaxPoints];
  T zeros[D > 0 ? D : kDeformMaxHeadDim] = {};

  for (int64_t query = begin; query < end; ++query) {
    // All heads of a query in turn: they read neighbouring cache lines of the same few positions.
    const T* image = a.value + query / s.queries * s.value_b;
    for (int64_t m = 0; m < s.heads; ++m) {
      const int64_t row = query * s.heads + m;
      const T* map = image + m * s.value_m;
      find_taps(s, a.reference + query * s.levels * 2, a.offsets + row * count * 2, a.logits + row * count, taps);
      Sum<D, T> sum;
      for (int64_t i = 0; i < count; ++i) {
        const Pointers<T> at = pointers(taps[i], map, s.value_s, zeros);
        T weights[4];
        corner_weights(taps[i], weights);
        sum.add(at.corner, weights, dim);
      }
      sum.store(a.out + row * dim, dim);
    }
  }
}

template <int D, typename T>
void backward_range(const DeformBackward<T>& a, int64_t begin, int64_t end) {
  const DeformShape& s = a.shape;
  const int64_t dim = D > 0 ? D : s.head_dim;
  const int64_t count = s.levels * s.points;
  Tap<T> taps[kDeformMaxPoints];
  T sampled[kDeformMaxPoints];  // gradient of the loss by each attention weight
  T zeros[D > 0 ? D : kDeformMaxHeadDim] = {};

  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t m = unit % s.heads, b = unit / s.heads;
    const T* map = a.value + b * s.value_b + m * s.value_m;
    T* grad_map = a.grad_value + unit * s.positions * dim;
    for (int64_t q = 0; q < s.queries; ++q) {
      const int64_t query = b * s.queries + q, row = query * s.heads + m;
      find_taps(s, a.reference + query * s.levels * 2, a.offsets + row * count * 2, a.logits + row * count, taps);
      const T* grad_out = a.grad_out + row * dim;
      T* grad_offset = a.grad_offsets + row * count * 2;
      T mean = 0;
      for (int64_t i = 0; i < count; ++i, grad_offset += 2) {
        const Tap<T>& tap = taps[i];
        const Pointers<T> at = pointers(tap, map, s.value_s, zeros);
        T d[4];
        dots<D>(grad_out, at.corner, d, dim);
        const T slope_up = d[1] - d[0], slope_down = d[3] - d[2];
        const T up = d[0] + tap.x * slope_up, down = d[2] + tap.x * slope_down;
        sampled[i] = up + tap.y * (down - up);
        mean += tap.weight * sampled[i];
        grad_offset[0] = tap.weight * (slope_up + tap.y * (slope_down - slope_up));
        grad_offset[1] = tap.weight * (down - up);

        T weights[4];
        corner_weights(tap, weights);
        for (int c = 0; c < 4; ++c) {
          if (tap.corner[c] < 0) continue;
          add_scaled<D>(grad_map + tap.corner[c] * dim, weights[c], grad_out, dim);
        }
      }
      T* grad_logit = a.grad_logits + row * count;
      for (int64_t i = 0; i < count; ++i) grad_logit[i] = taps[i].weight * (sampled[i] - mean);
    }
  }
}

template <typename T>
void forward(const DeformForward<T>& a, int64_t begin, int64_t end) {
  switch (a.shape.head_dim) {
    case 16: return forward_range<16>(a, begin, end);
    case 32: return forward_range<32>(a, begin, end);
    case 64: return forward_range<64>(a, begin, end);
    default: return forward_range<0>(a, begin, end);
  }
}

template <typename T>
void backward(const DeformBackward<T>& a, int64_t begin, int64_t end) {
  switch (a.shape.head_dim) {
    case 16: return backward_range<16>(a, begin, end);
    case 32: return backward_range<32>(a, begin, end);
    case 64: return backward_range<64>(a, begin, end);
    default: return backward_range<0>(a, begin, end);
  }
}

}  // namespace

extern const DeformKernels<float> deform_f32 = {forward<float>, backward<float>};
extern const DeformKernels<double> deform_f64 = {forward<double>, backward<double>};

}  // namespace SMALTI_ISA
}  // namespace smalti
