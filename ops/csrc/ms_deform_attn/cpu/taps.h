// From reference points, offsets and logits of a query and head to taps: for every point the four corners of its cell
// and their weights. Points are the vector axis here.
//
// Corners outside the level read a row of zeros at an offset that the caller names, so loops over taps have no branches
// and a value that nobody looks at can not spoil a sum, be it infinite.
#pragma once

#include <math.h>

#include "lanes.h"

namespace smalti {
namespace SMALTI_ISA {
namespace {

// All arrays are padded to whole registers; padding has a weight of 0 and reads zeros.
template <typename C>
struct Taps {
  int64_t at[4][kDeformMaxPoints];  // offsets of the rows (y0, x0), (y0, x0 + 1), (y0 + 1, x0), (y0 + 1, x0 + 1)
  C share[4][kDeformMaxPoints];     // attention weight times bilinear weight
  C weight[kDeformMaxPoints];       // attention weight
  C x[kDeformMaxPoints], y[kDeformMaxPoints];  // fractions of the cell; 0 outside the level
};

// The level of every point, [L * P]; padding has no extent, so that all of it lies outside.
template <typename C>
class Levels {
 public:
  // Rows of the value are `stride` elements apart.
  Levels(const DeformShape& s, int64_t stride) : count(s.levels * s.points), stride_(stride) {
    for (int64_t i = 0; i < padded(); ++i) {
      const int64_t l = i / s.points;
      const DeformLevel level = i < count ? s.level[l] : DeformLevel{0, 0, 0};
      level_[i] = static_cast<Int>(l);
      width_[i] = static_cast<C>(level.width), height_[i] = static_cast<C>(level.height);
      columns_[i] = static_cast<Int>(level.width), rows_[i] = static_cast<Int>(level.height);
      start_[i] = level.start * stride, below_[i] = level.width * stride;
    }
  }

  // reference: [L, 2]; offsets: [L, P, 2]; logits: [L * P]; zeros: offset of the row of zeros.
  void find_taps(const C* reference, const C* offsets, const C* logits, int64_t zeros, Taps<C>* taps) const {
    softmax(logits, taps->weight);
    for (int64_t i = 0; i < padded(); i += kLanes<C>) find_register(i, reference, offsets, zeros, taps);
  }

  int64_t padded() const { return (count + kLanes<C> - 1) / kLanes<C> * kLanes<C>; }

  const int64_t count;

 private:
  using Int = decltype(+Ints<C>{}[0]);

  static Ints<C> ints(const Int* from) {
    Ints<C> v;
    memcpy(&v, from, kBytes);
    return v;
  }

  static Vec<float> exponential(const Vec<float>& given) {
    // 2^n * e^f with |f| <= ln2 / 2 and a degree-6 polynomial: about 1 ulp. What a float can not hold becomes 0.
    const Vec<float> x = given < -87.0f ? Vec<float>{} - 87.0f : given;
    Vec<float> n = x * 1.44269504f - 0.5f;  // arguments are at most 0, so truncation rounds to the nearest
    const Ints<float> power = __builtin_convertvector(n, Ints<float>);
    n = __builtin_convertvector(power, Vec<float>);
    const Vec<float> f = (x - n * 0.693145752f) - n * 1.42860677e-6f;
    Vec<float> p = 1.3888889e-3f * f + 8.3333333e-3f;
    p = p * f + 4.1666667e-2f;
    p = p * f + 1.6666667e-1f;
    p = p * f + 0.5f;
    p = p * f + 1.0f;
    p = p * f + 1.0f;
    return given < -87.0f ? Vec<float>{} : p * Vec<float>((power + 127) << 23);
  }

  static Vec<double> exponential(Vec<double> x) {
    for (int i = 0; i < kLanes<double>; ++i) x[i] = exp(x[i]);
    return x;
  }

  void softmax(const C* logits, C* weight) const {
    Vec<C> top = Vec<C>{} - static_cast<C>(INFINITY);
    for (int64_t i = 0; i < padded(); i += kLanes<C>) top = larger<C>(logits_at(logits, i), top);
    top = max_lanes<C>(top);
    Vec<C> total = {};
    for (int64_t i = 0; i < padded(); i += kLanes<C>) {
      const Vec<C> e = exponential(logits_at(logits, i) - top);
      total += e;
      store_exact(e, weight + i);
    }
    const Vec<C> inverse = C(1) / sum_lanes<C>(total);
    for (int64_t i = 0; i < padded(); i += kLanes<C>) store_exact<C>(load_exact(weight + i) * inverse, weight + i);
  }

  Vec<C> logits_at(const C* logits, int64_t i) const {
    const Ints<C> inside = lane_numbers<C>(Each<C>{}) < static_cast<Int>(count - i);
    return inside ? load_first(logits + i, count - i) : Vec<C>{} - static_cast<C>(INFINITY);
  }

  void find_register(int64_t i, const C* reference, const C* offsets, int64_t zeros, Taps<C>* taps) const {
    const Ints<C> level = ints(level_ + i), columns = ints(columns_ + i), rows = ints(rows_ + i);
    const Vec<C> width = load_exact(width_ + i), height = load_exact(height_ + i);
    Vec<C> x = {}, y = {};
    const int64_t last = level_[i + kLanes<C> < count ? i + kLanes<C> - 1 : count - 1];
    for (int64_t l = level_[i]; l <= last; ++l) {
      const Ints<C> here = level == static_cast<Int>(l);
      x = here ? Vec<C>{} + reference[2 * l] : x;
      y = here ? Vec<C>{} + reference[2 * l + 1] : y;
    }
    const int64_t left_over = 2 * (count - i);
    const Vec<C> low = load_first(offsets + 2 * i, left_over);
    const Vec<C> high = load_first(offsets + 2 * i + kLanes<C>, left_over - kLanes<C>);
    x = x * width - C(0.5) + even_lanes<C>(low, high, Each<C>{});
    y = y * height - C(0.5) + odd_lanes<C>(low, high, Each<C>{});
    // NaN and what no integer can hold fail these, and go on as 0.
    const Ints<C> inside = (x > C(-1)) & (y > C(-1)) & (x < width) & (y < height);
    x = inside ? x : Vec<C>{};
    y = inside ? y : Vec<C>{};
    const Ints<C> column = rounded_down(x), row = rounded_down(y);
    x -= __builtin_convertvector(column, Vec<C>);
    y -= __builtin_convertvector(row, Vec<C>);
    store_exact(x, taps->x + i);
    store_exact(y, taps->y + i);

    const Vec<C> weight = load_exact(taps->weight + i);
    // Products of the distances rather than differences of products: a share near zero keeps its relative precision.
    const Vec<C> to_left = C(1) - x, lower = y * weight, upper = (C(1) - y) * weight;
    store_exact<C>(upper * to_left, taps->share[0] + i);
    store_exact<C>(upper * x, taps->share[1] + i);
    store_exact<C>(lower * to_left, taps->share[2] + i);
    store_exact<C>(lower * x, taps->share[3] + i);

    const Ints<C> left = inside & (column >= 0), right = inside & (column + 1 < columns);
    const Ints<C> above = row >= 0, below = row + 1 < rows;
    store_offsets(i, row * columns + column, left & above, right & above, left & below, right & below, zeros, taps);
  }

  static Ints<C> rounded_down(const Vec<C>& v) {
    const Ints<C> towards_zero = __builtin_convertvector(v, Ints<C>);
    return towards_zero + (__builtin_convertvector(towards_zero, Vec<C>) > v);
  }

  // Lanes of 32 bits become two registers of 64-bit offsets.
  static Wide widened(const Ints<double>& v, int) { return v; }
  static Wide widened(const Ints<float>& v, int part) {
    HalfInts half;
    memcpy(&half, reinterpret_cast<const char*>(&v) + part * sizeof half, sizeof half);
    return __builtin_convertvector(half, Wide);
  }

  void store_offsets(int64_t i, const Ints<C>& row, const Ints<C>& upper_left, const Ints<C>& upper_right,
                     const Ints<C>& lower_left, const Ints<C>& lower_right, int64_t zeros, Taps<C>* taps) const {
    constexpr int kParts = sizeof(Wide) / sizeof(int64_t) < kLanes<C> ? 2 : 1;
    for (int part = 0; part < kParts; ++part) {
      const int64_t at = i + part * (kLanes<C> / kParts);
      Wide start, below;
      memcpy(&start, start_ + at, kBytes);
      memcpy(&below, below_ + at, kBytes);
      const Wide first = widened(row, part) * stride_ + start, second = first + below;
      const Wide outside = Wide{} + zeros;
      const Wide corners[4] = {widened(upper_left, part) < 0 ? first : outside,
                               widened(upper_right, part) < 0 ? first + stride_ : outside,
                               widened(lower_left, part) < 0 ? second : outside,
                               widened(lower_right, part) < 0 ? second + stride_ : outside};
      for (int c = 0; c < 4; ++c) memcpy(taps->at[c] + at, &corners[c], kBytes);
    }
  }

  int64_t stride_;
  Int level_[kDeformMaxPoints];
  C width_[kDeformMaxPoints], height_[kDeformMaxPoints];
  Int columns_[kDeformMaxPoints], rows_[kDeformMaxPoints];
  int64_t start_[kDeformMaxPoints], below_[kDeformMaxPoints];  // of the level's first row; of a line of the map
};

}  // namespace
}  // namespace SMALTI_ISA
}  // namespace smalti
