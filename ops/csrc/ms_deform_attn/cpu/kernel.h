// Plain-pointer interface of the CPU kernels, free of torch headers: the same source is compiled once per instruction
// set (see kernel.cpp) and must not share inline library code between those builds.
#pragma once

#include <cstdint>

#include "../../element.h"

namespace smalti {

// One feature level inside the flattened value: rows [start, start + height * width), fewer than 2^31.
struct DeformLevel {
  int64_t height, width, start;
};

struct DeformShape {
  int64_t batch, positions, queries, heads, head_dim, levels, points;
  const DeformLevel* level;  // [L]
  int64_t value_b, value_s, value_m;  // strides in elements of value [B, S, M, D], channels contiguous
};

// T is the type of value, out and their gradients. The rest is of the type of the arithmetic: half a pixel matters, and
// half types do not hold it. Everything but `value` is contiguous.
template <typename T>
struct DeformForward {
  DeformShape shape;
  const T* value;               // [B, S, M, D]
  const Compute<T>* reference;  // [B, Q, L, 2]: x, y, fractions of the level
  const Compute<T>* offsets;    // [B, Q, M, L, P, 2]: x, y, pixels of the level
  const Compute<T>* logits;     // [B, Q, M, L * P]
  T* out;                       // [B, Q, M, D]
};

template <typename T>
struct DeformBackward {
  DeformShape shape;
  const T* value;
  const Compute<T>*reference, *offsets, *logits;
  const T* grad_out;            // [B, Q, M, D]
  T* grad_value;                // [B, S, M, D] contiguous; every element is written, so nothing needs zeroing
  Compute<T>* grad_offsets;     // [B, Q, M, L, P, 2]
  Compute<T>* grad_logits;      // [B, Q, M, L * P]
};

// Forward units: (image, query). Backward units: (image, head), which owns its slice of grad_value: units write
// disjoint memory, so the result does not depend on the thread count. A backward call allocates two slices [S, D] of
// the compute type and throws std::bad_alloc where it can not.
constexpr int64_t kDeformMaxPoints = 256;    // levels * points of one query and head
constexpr int64_t kDeformMaxHeadDim = 1024;

template <typename T>
struct DeformKernels {
  void (*forward)(const DeformForward<T>&, int64_t begin, int64_t end);
  void (*backward)(const DeformBackward<T>&, int64_t begin, int64_t end);
};

#define SMALTI_DECLARE_KERNELS(isa)              \
  namespace isa {                                \
  extern const DeformKernels<float> deform_f32;  \
  extern const DeformKernels<double> deform_f64; \
  extern const DeformKernels<bf16> deform_bf16;  \
  extern const DeformKernels<f16> deform_f16;    \
  }
SMALTI_DECLARE_KERNELS(baseline)
SMALTI_DECLARE_KERNELS(avx2)
SMALTI_DECLARE_KERNELS(avx512)
#undef SMALTI_DECLARE_KERNELS

}  // namespace smalti
