// Multi-scale deformable attention as its definition reads, in double: what the kernels are tested against. All arrays
// are contiguous, in the layouts of cpu/kernel.h; the strides of the shape are not looked at.
//
// Cells are picked by floor(reference * size - 0.5 + offset). The derivative by a position jumps where that is an
// integer, so tests take reference points and offsets whose position is exact in the kernel's arithmetic (multiples of
// 1/64, say).
#pragma once

#include <cmath>
#include <vector>

#include "../ms_deform_attn/cpu/kernel.h"

namespace smalti {
namespace reference {

// Plain: the results. Magnitude: every subtraction becomes an addition. Given absolute values and gradients, the
// results then bound the sums of the magnitudes of all terms, and rounding errors are a few epsilons times these.
enum class DeformSigns { Plain, Magnitude };

// One sampling point of one query and head.
struct DeformPoint {
  double weight;      // attention weight
  double x, y;        // fractions of the cell
  int64_t corner[4];  // row of the value: (y0, x0), (y0, x0 + 1), (y0 + 1, x0), (y0 + 1, x0 + 1); -1 = outside
  bool inside;        // in (-1, width) x (-1, height); NaN and infinite positions are not
};

// The L * P points of a query and head. reference: [L, 2]; offsets: [L, P, 2]; logits: [L * P].
inline std::vector<DeformPoint> deform_points(const DeformShape& s, const double* reference, const double* offsets,
                                              const double* logits) {
  const int64_t count = s.levels * s.points;
  double top = logits[0], total = 0;
  for (int64_t i = 1; i < count; ++i) top = std::fmax(top, logits[i]);
  for (int64_t i = 0; i < count; ++i) total += std::exp(logits[i] - top);
  std::vector<DeformPoint> points;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t l = i / s.points;
    const DeformLevel level = s.level[l];
    const double x = reference[2 * l] * double(level.width) - 0.5 + offsets[2 * i];
    const double y = reference[2 * l + 1] * double(level.height) - 0.5 + offsets[2 * i + 1];
    DeformPoint point{std::exp(logits[i] - top) / total, 0, 0, {-1, -1, -1, -1}, false};
    if (x > -1 && y > -1 && x < double(level.width) && y < double(level.height)) {
      point.inside = true;
      point.x = x - std::floor(x), point.y = y - std::floor(y);
      for (int c = 0; c < 4; ++c) {
        const int64_t column = int64_t(std::floor(x)) + c % 2, row = int64_t(std::floor(y)) + c / 2;
        if (column >= 0 && column < level.width && row >= 0 && row < level.height)
          point.corner[c] = level.start + row * level.width + column;
      }
    }
    points.push_back(point);
  }
  return points;
}

// value: [B, S, M, D]; reference: [B, Q, L, 2]; offsets: [B, Q, M, L, P, 2]; logits: [B, Q, M, L * P];
// out: [B, Q, M, D].
inline void deform_forward(const DeformShape& s, const double* value, const double* reference, const double* offsets,
                           const double* logits, double* out) {
  const int64_t count = s.levels * s.points;
  for (int64_t i = 0; i < s.batch * s.queries * s.heads * s.head_dim; ++i) out[i] = 0;
  for (int64_t row = 0; row < s.batch * s.queries * s.heads; ++row) {
    const int64_t query = row / s.heads, m = row % s.heads, b = query / s.queries;
    const auto points =
        deform_points(s, reference + query * s.levels * 2, offsets + row * count * 2, logits + row * count);
    for (const DeformPoint& point : points) {
      for (int c = 0; c < 4; ++c) {
        if (point.corner[c] < 0) continue;
        const double weight = point.weight * (c % 2 ? point.x : 1 - point.x) * (c / 2 ? point.y : 1 - point.y);
        const double* from = value + ((b * s.positions + point.corner[c]) * s.heads + m) * s.head_dim;
        for (int64_t d = 0; d < s.head_dim; ++d) out[row * s.head_dim + d] += weight * from[d];
      }
    }
  }
}

// Every element of the four gradients, laid out as their inputs, is written.
inline void deform_backward(const DeformShape& s, const double* value, const double* reference, const double* offsets,
                            const double* logits, const double* grad_out, double* grad_value, double* grad_reference,
                            double* grad_offsets, double* grad_logits, DeformSigns signs = DeformSigns::Plain) {
  const int64_t count = s.levels * s.points;
  const double minus = signs == DeformSigns::Plain ? -1 : 1;
  for (int64_t i = 0; i < s.batch * s.positions * s.heads * s.head_dim; ++i) grad_value[i] = 0;
  for (int64_t i = 0; i < s.batch * s.queries * s.levels * 2; ++i) grad_reference[i] = 0;
  for (int64_t row = 0; row < s.batch * s.queries * s.heads; ++row) {
    const int64_t query = row / s.heads, m = row % s.heads, b = query / s.queries;
    const auto points =
        deform_points(s, reference + query * s.levels * 2, offsets + row * count * 2, logits + row * count);
    const double* grad = grad_out + row * s.head_dim;
    std::vector<double> by_weight(count);  // gradient by each attention weight
    double mean = 0;
    for (int64_t i = 0; i < count; ++i) {
      const DeformPoint& point = points[i];
      double dot[4] = {};  // grad_out . value of each corner
      for (int c = 0; c < 4; ++c) {
        if (point.corner[c] < 0) continue;
        const double share = (c % 2 ? point.x : 1 - point.x) * (c / 2 ? point.y : 1 - point.y);
        const int64_t at = ((b * s.positions + point.corner[c]) * s.heads + m) * s.head_dim;
        for (int64_t d = 0; d < s.head_dim; ++d) {
          dot[c] += grad[d] * value[at + d];
          grad_value[at + d] += point.weight * share * grad[d];
        }
        by_weight[i] += share * dot[c];
      }
      mean += point.weight * by_weight[i];
      const double by_x = (1 - point.y) * (dot[1] + minus * dot[0]) + point.y * (dot[3] + minus * dot[2]);
      const double by_y = (1 - point.x) * (dot[2] + minus * dot[0]) + point.x * (dot[3] + minus * dot[1]);
      grad_offsets[(row * count + i) * 2] = point.inside ? point.weight * by_x : 0;
      grad_offsets[(row * count + i) * 2 + 1] = point.inside ? point.weight * by_y : 0;
      // A reference point moves all points of its level, by the level's size in pixels.
      const int64_t l = i / s.points;
      double* of_level = grad_reference + (query * s.levels + l) * 2;
      of_level[0] += grad_offsets[(row * count + i) * 2] * double(s.level[l].width);
      of_level[1] += grad_offsets[(row * count + i) * 2 + 1] * double(s.level[l].height);
    }
    for (int64_t i = 0; i < count; ++i)
      grad_logits[row * count + i] = points[i].weight * (by_weight[i] + minus * mean);
  }
}

}  // namespace reference
}  // namespace smalti
