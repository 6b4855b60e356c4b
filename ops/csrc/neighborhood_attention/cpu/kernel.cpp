// CPU kernels of 2D neighborhood attention. Compiled once per instruction set with SMALTI_ISA naming the namespace; all
// helpers have internal linkage, so that the linker can not hand AVX-512 code to a machine without it.
//
// Channels are the vector axis: each query walks the keys of its window row by row; scores of the whole window stay in a
// small buffer, so the softmax is a plain two-pass one.
#include "na2d_kernel.h"

#include <math.h>

#include "window.h"

namespace smalti {
namespace SMALTI_ISA {
namespace {

constexpr int64_t kMaxWindow = 64 * 64;  // scores of one query; the public op refuses larger windows

inline float exponential(float x) {
  // 2^n * e^f with |f| <= ln2 / 2 and a degree-6 polynomial: about 1 ulp; no branches, so the compiler vectorises it.
  x = x < -87.0f ? -87.0f : x;
  const float n = __builtin_rintf(x * 1.44269504f);
  float f = x - n * 0.693145752f;
  f = f - n * 1.42860677e-6f;
  float p = 1.3888889e-3f;
  p = p * f + 8.3333333e-3f;
  p = p * f + 4.1666667e-2f;
  p = p * f + 1.6666667e-1f;
  p = p * f + 0.5f;
  p = p * f + 1.0f;
  p = p * f + 1.0f;
  union {
    int32_t bits;
    float value;
  } power;
  power.bits = (static_cast<int32_t>(n) + 127) << 23;
  return p * power.value;
}

inline double exponential(double x) { return exp(x); }

// D = 0 means "any size, known at run time".
template <int D, typename T>
inline T dot(const T* a, const T* b, int64_t size) {
  const int64_t n = D > 0 ? D : size;
  T sum = 0;
  for (int64_t d = 0; d < n; ++d) sum += a[d] * b[d];
  return sum;
}

template <int D, typename T>
inline void add_scaled(T* to, T factor, const T* from, int64_t size) {
  const int64_t n = D > 0 ? D : size;
  for (int64_t d = 0; d < n; ++d) to[d] += factor * from[d];
}

template <int D, typename T>
void forward_range(const Na2dForward<T>& a, int64_t begin, int64_t end) {
  const Na2dShape& s = a.shape;
  const int64_t dim = D > 0 ? D : s.head_dim;
  const int64_t keys = s.window_y * s.window_x;
  const int64_t table_width = 2 * s.window_x - 1, table_size = (2 * s.window_y - 1) * table_width;
  T query[D > 0 ? D : 1024];
  T scores[kMaxWindow];

  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t b = unit / s.height, y = unit % s.height;
    const AxisWindow row = s.rows[y];
    for (int64_t m = 0; m < s.heads; ++m) {
      const T* q_row = a.q + b * a.q_strides.b + y * a.q_strides.y + m * a.q_strides.m;
      const T* k_map = a.k + b * a.k_strides.b + m * a.k_strides.m;
      const T* v_map = a.v + b * a.v_strides.b + m * a.v_strides.m;
      const int64_t k_step = s.dilation_x * a.k_strides.x, v_step = s.dilation_x * a.v_strides.x;
      for (int64_t x = 0; x < s.width; ++x) {
        const AxisWindow column = s.columns[x];
        const T* q = q_row + x * a.q_strides.x;
        for (int64_t d = 0; d < dim; ++d) query[d] = q[d] * a.scale;

        T* score = scores;
        for (int64_t i = 0; i < s.window_y; ++i) {
          const T* key = k_map + (row.first + i * s.dilation_y) * a.k_strides.y + column.first * a.k_strides.x;
          for (int64_t j = 0; j < s.window_x; ++j, key += k_step) *score++ = dot<D>(query, key, dim);
        }
        if (a.bias != nullptr) {
          const T* table = a.bias + m * table_size + row.bias * table_width + column.bias;
          score = scores;
          for (int64_t i = 0; i < s.window_y; ++i, table += table_width)
            for (int64_t j = 0; j < s.window_x; ++j) *score++ += table[j];
        }

        T top = scores[0];
        for (int64_t j = 1; j < keys; ++j) top = scores[j] > top ? scores[j] : top;
        T total = 0;
        for (int64_t j = 0; j < keys; ++j) {
          scores[j] = exponential(scores[j] - top);
          total += scores[j];
        }
        const int64_t token = ((b * s.height + y) * s.width + x) * s.heads + m;
        a.lse[token] = top + static_cast<T>(log(static_cast<double>(total)));

        T sum[D > 0 ? D : 1024];
        for (int64_t d = 0; d < dim; ++d) sum[d] = 0;
        score = scores;
        for (int64_t i = 0; i < s.window_y; ++i) {
          const T* value = v_map + (row.first + i * s.dilation_y) * a.v_strides.y + column.first * a.v_strides.x;
          for (int64_t j = 0; j < s.window_x; ++j, value += v_step) add_scaled<D>(sum, *score++, value, dim);
        }
        const T inverse = T(1) / total;
        T* out = a.out + token * dim;
        for (int64_t d = 0; d < dim; ++d) out[d] = sum[d] * inverse;
      }
    }
  }
}

template <int D, typename T>
void backward_range(const Na2dBackward<T>& a, int64_t begin, int64_t end) {
  const Na2dShape& s = a.shape;
  const int64_t dim = D > 0 ? D : s.head_dim;
  const int64_t keys = s.window_y * s.window_x;
  const int64_t table_width = 2 * s.window_x - 1, table_size = (2 * s.window_y - 1) * table_width;
  const int64_t grad_x = s.heads * dim, grad_y = s.width * grad_x, grad_b = s.height * grad_y;
  T query[D > 0 ? D : 1024];
  T grad_query[D > 0 ? D : 1024];
  T weights[kMaxWindow], grads[kMaxWindow];

  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t residue_x = unit % s.dilation_x, residue_y = unit / s.dilation_x % s.dilation_y;
    const int64_t image_head = unit / (s.dilation_x * s.dilation_y);
    const int64_t b = image_head / s.heads, m = image_head % s.heads;
    const T* q_map = a.q + b * a.q_strides.b + m * a.q_strides.m;
    const T* k_map = a.k + b * a.k_strides.b + m * a.k_strides.m;
    const T* v_map = a.v + b * a.v_strides.b + m * a.v_strides.m;
    const int64_t k_step = s.dilation_x * a.k_strides.x, v_step = s.dilation_x * a.v_strides.x;
    const int64_t grad_step = s.dilation_x * grad_x;
    T* grad_k_map = a.grad_k + b * grad_b + m * dim;
    T* grad_v_map = a.grad_v + b * grad_b + m * dim;
    T* grad_table = a.grad_bias == nullptr ? nullptr : a.grad_bias + unit * table_size;

    for (int64_t y = residue_y; y < s.height; y += s.dilation_y) {
      const AxisWindow row = s.rows[y];
      for (int64_t x = residue_x; x < s.width; x += s.dilation_x) {
        const AxisWindow column = s.columns[x];
        const int64_t token = ((b * s.height + y) * s.width + x) * s.heads + m;
        const T* q = q_map + y * a.q_strides.y + x * a.q_strides.x;
        for (int64_t d = 0; d < dim; ++d) query[d] = q[d] * a.scale;
        const T* grad_out = a.grad_out + token * dim;
        const T lse = a.lse[token];
        const T delta = dot<D>(grad_out, a.out + token * dim, dim);

        // Probabilities from the saved denominator, and the gradient of the loss by each score.
        int64_t at = 0;
        for (int64_t i = 0; i < s.window_y; ++i) {
          const int64_t key_y = row.first + i * s.dilation_y;
          const T* key = k_map + key_y * a.k_strides.y + column.first * a.k_strides.x;
          const T* value = v_map + key_y * a.v_strides.y + column.first * a.v_strides.x;
          for (int64_t j = 0; j < s.window_x; ++j, ++at, key += k_step, value += v_step) {
            weights[at] = dot<D>(query, key, dim) - lse;
            grads[at] = dot<D>(grad_out, value, dim) - delta;
          }
        }
        if (a.bias != nullptr) {
          const T* table = a.bias + m * table_size + row.bias * table_width + column.bias;
          at = 0;
          for (int64_t i = 0; i < s.window_y; ++i, table += table_width)
            for (int64_t j = 0; j < s.window_x; ++j) weights[at++] += table[j];
        }
        for (int64_t j = 0; j < keys; ++j) {
          weights[j] = exponential(weights[j]);
          grads[j] *= weights[j];
        }
        if (grad_table != nullptr) {
          T* table = grad_table + row.bias * table_width + column.bias;
          at = 0;
          for (int64_t i = 0; i < s.window_y; ++i, table += table_width)
            for (int64_t j = 0; j < s.window_x; ++j) table[j] += grads[at++];
        }

        for (int64_t d = 0; d < dim; ++d) grad_query[d] = 0;
        at = 0;
        for (int64_t i = 0; i < s.window_y; ++i) {
          const int64_t key_y = row.first + i * s.dilation_y;
          const T* key = k_map + key_y * a.k_strides.y + column.first * a.k_strides.x;
          T* grad_key = grad_k_map + key_y * grad_y + column.first * grad_x;
          T* grad_value = grad_v_map + key_y * grad_y + column.first * grad_x;
          for (int64_t j = 0; j < s.window_x; ++j, ++at) {
            add_scaled<D>(grad_query, grads[at], key, dim);
            add_scaled<D>(grad_key, grads[at], static_cast<const T*>(query), dim);
            add_scaled<D>(grad_value, weights[at], grad_out, dim);
            key += k_step;
            grad_key += grad_step;
            grad_value += grad_step;
          }
        }
        T* to = a.grad_q + token * dim;
        for (int64_t d = 0; d < dim; ++d) to[d] = grad_query[d] * a.scale;
      }
    }
  }
}

template <typename T>
void forward(const Na2dForward<T>& a, int64_t begin, int64_t end) {
  switch (a.shape.head_dim) {
    case 16: return forward_range<16>(a, begin, end);
    case 32: return forward_range<32>(a, begin, end);
    case 64: return forward_range<64>(a, begin, end);
    default: return forward_range<0>(a, begin, end);
  }
}

template <typename T>
void backward(const Na2dBackward<T>& a, int64_t begin, int64_t end) {
  switch (a.shape.head_dim) {
    case 16: return backward_range<16>(a, begin, end);
    case 32: return backward_range<32>(a, begin, end);
    case 64: return backward_range<64>(a, begin, end);
    default: return backward_range<0>(a, begin, end);
  }
}

}  // namespace

extern const Na2dKernels<float> f32 = {forward<float>, backward<float>};
extern const Na2dKernels<double> f64 = {forward<double>, backward<double>};

}  // namespace SMALTI_ISA
}  // namespace smalti
