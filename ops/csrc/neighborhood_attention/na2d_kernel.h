// Plain-pointer interface of the CPU kernels, free of torch headers: the same source is compiled once per instruction
// set (see na2d_kernel.cpp) and must not share inline library code between those builds.
#pragma once

#include <cstdint>

namespace smalti {

struct AxisWindow;

// Strides in elements of a [B, H, W, M, D] tensor whose channels are contiguous.
struct Strides {
  int64_t b, y, x, m;
};

struct Na2dShape {
  int64_t batch, height, width, heads, head_dim;
  int64_t window_y, window_x;
  int64_t dilation_y, dilation_x;
  const AxisWindow* rows;     // [H]
  const AxisWindow* columns;  // [W]
};

template <typename T>
struct Na2dForward {
  Na2dShape shape;
  T scale;
  const T *q, *k, *v;
  Strides q_strides, k_strides, v_strides;
  const T* bias;  // [M, 2Ky-1, 2Kx-1] or nullptr
  T* out;         // [B, H, W, M, D] contiguous
  T* lse;         // [B, H, W, M]: log of the softmax denominator, for the backward pass
};

template <typename T>
struct Na2dBackward {
  Na2dShape shape;
  T scale;
  const T *q, *k, *v;
  Strides q_strides, k_strides, v_strides;
  const T* bias;
  const T* lse;
  const T *out, *grad_out;  // contiguous
  T *grad_q, *grad_k, *grad_v;  // contiguous; k and v zeroed by the caller
  T* grad_bias;  // [units, 2Ky-1, 2Kx-1] zeroed, or nullptr; one slice a unit, summed by the caller in fixed order
};

// Forward units: one row of one image, [0, B * H). Backward units: one (image, head, residue class), B * M * dy * dx;
// a residue class owns its keys, so units write disjoint memory and the result does not depend on the thread count.
template <typename T>
struct Na2dKernels {
  void (*forward)(const Na2dForward<T>&, int64_t begin, int64_t end);
  void (*backward)(const Na2dBackward<T>&, int64_t begin, int64_t end);
};

#define SMALTI_DECLARE_KERNELS(isa)       \
  namespace isa {                         \
  extern const Na2dKernels<float> f32;    \
  extern const Na2dKernels<double> f64;   \
  }
SMALTI_DECLARE_KERNELS(baseline)
SMALTI_DECLARE_KERNELS(avx2)
SMALTI_DECLARE_KERNELS(avx512)
#undef SMALTI_DECLARE_KERNELS

}  // namespace smalti
