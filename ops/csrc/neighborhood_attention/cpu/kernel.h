// Plain-pointer interface of the CPU kernels, free of torch headers: the same source is compiled once per instruction
// set (see kernel.cpp) and must not share inline library code between those builds.
#pragma once

#include <cstdint>

#include "../../element.h"

namespace smalti {

// Strides in elements of a [B, H, W, M, D] tensor whose channels are contiguous.
struct Strides {
  int64_t b, y, x, m;
};

struct Na2dShape {
  int64_t batch, height, width, heads, head_dim;
  int64_t window_y, window_x;      // odd, 1..=13
  int64_t dilation_y, dilation_x;  // window * dilation <= size, per axis
};

// T is the type of the tensors, Compute<T> that of the arithmetic, the bias and the log-sum-exp.
template <typename T>
struct Na2dForward {
  Na2dShape shape;
  Compute<T> scale;
  const T *q, *k, *v;
  Strides q_strides, k_strides, v_strides;
  const Compute<T>* bias;  // [M, 2Ky-1, 2Kx-1] or nullptr
  T* out;                  // [B, H, W, M, D] contiguous
  Compute<T>* lse;         // [B, H, W, M]: log of the softmax denominator, for the backward pass; may be nullptr
};

template <typename T>
struct Na2dBackward {
  Na2dShape shape;
  Compute<T> scale;
  const T *q, *k, *v;
  Strides q_strides, k_strides, v_strides;
  const Compute<T>* bias;       // or nullptr
  const Compute<T>* lse;        // [B, H, W, M]
  const T* out;                 // [B, H, W, M, D] contiguous
  const T* grad_out;            // [B, H, W, M, D], grad_out_strides
  Strides grad_out_strides;
  T *grad_q, *grad_k, *grad_v;  // every element is written, so nothing needs zeroing
  Strides grad_q_strides, grad_k_strides, grad_v_strides;
  // [units, 2Ky-1, 2Kx-1], every element written, or nullptr; the caller sums a head's units in order
  Compute<T>* grad_bias;
};

// A unit of work depends on the shape alone, never on the thread count: results have the same bits for any number of
// threads. Units of the backward pass are ordered (image, head, residue class): unit = (b * M + m) * dy * dx + class.
int64_t na2d_forward_units(const Na2dShape& shape);
inline int64_t na2d_backward_units(const Na2dShape& s) { return s.batch * s.heads * s.dilation_y * s.dilation_x; }

template <typename T>
struct Na2dKernels {
  void (*forward)(const Na2dForward<T>&, int64_t begin, int64_t end);
  void (*backward)(const Na2dBackward<T>&, int64_t begin, int64_t end);
};

#define SMALTI_DECLARE_KERNELS(isa)             \
  namespace isa {                               \
  extern const Na2dKernels<float> na2d_f32;     \
  extern const Na2dKernels<double> na2d_f64;    \
  extern const Na2dKernels<bf16> na2d_bf16;     \
  extern const Na2dKernels<f16> na2d_f16;       \
  }
SMALTI_DECLARE_KERNELS(baseline)
SMALTI_DECLARE_KERNELS(avx2)
SMALTI_DECLARE_KERNELS(avx512)
#undef SMALTI_DECLARE_KERNELS

}  // namespace smalti
