// Backward pass with one warp per token: queries first (delta, dQ and parts of the bias gradient), then keys (dK, dV)
// by the inverse neighbourhood.
#include <cmath>

#include "launch.h"
#include "per_token.h"

namespace smalti::na2d {
namespace {

constexpr int kQueryWarps = 8;
constexpr int kKeyWarps = 4;
constexpr int kMaxTable = (2 * kMaxWindow - 1) * (2 * kMaxWindow - 1);

// dQ and delta of one query by one warp; leaves the gradients of its scores in `grads`.
template <typename T>
__device__ __forceinline__ void query_gradients(const Na2dBackward<T>& args, const Token& at, const QueryAxis& y,
                                                const QueryAxis& x, Compute<T>* delta_out, Compute<T>* grads) {
  using C = Compute<T>;
  const Na2dShape& shape = args.shape;
  const int lane = device::lane();
  const int count = y.keys.count * x.keys.count;
  const int table_pitch = 2 * x.keys.count - 1;
  const int64_t table = at.m * (2 * y.keys.count - 1) * table_pitch;
  const int64_t token = plane_offset(shape, at);
  const T* q = args.q + offset(args.q_strides, at.b, at.y, at.x, at.m);
  const T* grad_out = args.grad_out + offset(args.grad_out_strides, at.b, at.y, at.x, at.m);

  const C delta = lanes_sum<kGroup>(lane_dot(grad_out, args.out + token * shape.head_dim, shape.head_dim));
  if (lane == 0) delta_out[token] = delta;
  const C lse = args.lse[token];
  for (int first = 0; first < count; first += kGroups) {
    const int j = first + lane / kGroup;
    const int key = smaller(j, count - 1);  // surplus groups take part in the shuffles
    const int row = key / x.keys.count, column = key % x.keys.count;
    const T* k = args.k + offset(args.k_strides, at.b, y.keys[row], x.keys[column], at.m);
    const T* v = args.v + offset(args.v_strides, at.b, y.keys[row], x.keys[column], at.m);
    C score = args.scale * lanes_sum<kGroup>(lane_dot(q, k, shape.head_dim));
    const C grad_weight = lanes_sum<kGroup>(lane_dot(grad_out, v, shape.head_dim));
    if (args.bias) score += args.bias[table + (y.bias + row) * table_pitch + x.bias + column];
    if (lane % kGroup == 0 && j < count) grads[j] = std::exp(score - lse) * (grad_weight - delta);
  }
  __syncwarp();

  T* grad_q = args.grad_q + offset(args.grad_q_strides, at.b, at.y, at.x, at.m);
  for (int64_t c = lane; c < shape.head_dim; c += device::kWarp) {
    C sum = 0;
    for (int row = 0; row < y.keys.count; ++row) {
      const T* k = args.k + offset(args.k_strides, at.b, y.keys[row], x.keys.first, at.m) + c;
      for (int column = 0; column < x.keys.count; ++column, k += x.keys.step * args.k_strides.x)
        sum += grads[row * x.keys.count + column] * widen(*k);
    }
    grad_q[c] = narrow<T>(args.scale * sum);
  }
}

template <typename T>
__global__ void __launch_bounds__(kQueryWarps * device::kWarp, 2)
    per_token_query_kernel(const Na2dBackward<T> args, Compute<T>* delta, Compute<T>* unit_partials, int64_t units) {
  using C = Compute<T>;
  SMALTI_SHARED(C, grads, kQueryWarps * kMaxKeys);
  SMALTI_SHARED(C, sums, kMaxTable);
  SMALTI_SHARED(int, corners, kQueryWarps * 2);  // of the queries' windows in the table: y, x
  const Na2dShape& shape = args.shape;
  const int warp = threadIdx.x / device::kWarp, threads = kQueryWarps * device::kWarp;
  const int64_t tokens = shape.height * shape.width;
  const int64_t plane = blockIdx.x / units, first = blockIdx.x % units * kTokensPerBiasUnit;
  const int table_pitch = 2 * static_cast<int>(shape.window_x) - 1;
  const int table = (2 * static_cast<int>(shape.window_y) - 1) * table_pitch;
  if (unit_partials)
    for (int bin = threadIdx.x; bin < table; bin += threads) sums[bin] = 0;

  for (int64_t base = first; base < first + kTokensPerBiasUnit && base < tokens; base += kQueryWarps) {
    if (base + warp < tokens) {
      const Token at = token_at(shape, plane * tokens + base + warp);
      const QueryAxis y = query_axis(at.y, shape.height, shape.window_y, shape.dilation_y);
      const QueryAxis x = query_axis(at.x, shape.width, shape.window_x, shape.dilation_x);
      if (device::lane() == 0) corners[warp * 2] = y.bias, corners[warp * 2 + 1] = x.bias;
      query_gradients(args, at, y, x, delta, grads + warp * kMaxKeys);
    }
    if (!unit_partials) continue;
    __syncthreads();
    for (int bin = threadIdx.x; bin < table; bin += threads) {  // one thread owns a bin: a fixed order of sums
      for (int w = 0; w < kQueryWarps && base + w < tokens; ++w) {
        const int row = bin / table_pitch - corners[w * 2], column = bin % table_pitch - corners[w * 2 + 1];
        if (row >= 0 && row < shape.window_y && column >= 0 && column < shape.window_x)
          sums[bin] += grads[w * kMaxKeys + row * static_cast<int>(shape.window_x) + column];
      }
    }
    __syncthreads();
  }
  if (unit_partials)
    for (int bin = threadIdx.x; bin < table; bin += threads)
      unit_partials[static_cast<int64_t>(blockIdx.x) * table + bin] = sums[bin];
}

// Shared memory: per warp, the weights and the gradients of the scores of up to `most` queries.
template <typename T>
__global__ void __launch_bounds__(kKeyWarps * device::kWarp, 2)
    per_token_key_kernel(const Na2dBackward<T> args, const Compute<T>* delta, int most) {
  using C = Compute<T>;
  SMALTI_DYNAMIC_SHARED(C, shared);
  const Na2dShape& shape = args.shape;
  const int warp = threadIdx.x / device::kWarp, lane = device::lane();
  C* weights = shared + warp * 2 * most;
  C* grads = weights + most;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kKeyWarps + warp;
  if (index >= shape.batch * shape.heads * shape.height * shape.width) return;
  const Token at = token_at(shape, index);
  const Run y = queries_of(at.y, shape.height, shape.window_y, shape.dilation_y);
  const Run x = queries_of(at.x, shape.width, shape.window_x, shape.dilation_x);
  const int count = y.count * x.count;
  const int window_y = static_cast<int>(shape.window_y), window_x = static_cast<int>(shape.window_x);
  const int64_t table = at.m * (2 * window_y - 1) * (2 * window_x - 1);
  const T* k = args.k + offset(args.k_strides, at.b, at.y, at.x, at.m);
  const T* v = args.v + offset(args.v_strides, at.b, at.y, at.x, at.m);

  for (int first = 0; first < count; first += kGroups) {
    const int j = first + lane / kGroup;
    const int query = smaller(j, count - 1);  // surplus groups take part in the shuffles
    Token other = at;
    other.y = y[query / x.count], other.x = x[query % x.count];
    const int64_t token = plane_offset(shape, other);
    const T* q = args.q + offset(args.q_strides, at.b, other.y, other.x, at.m);
    const T* grad_out = args.grad_out + offset(args.grad_out_strides, at.b, other.y, other.x, at.m);
    C score = args.scale * lanes_sum<kGroup>(lane_dot(q, k, shape.head_dim));
    const C grad_weight = lanes_sum<kGroup>(lane_dot(grad_out, v, shape.head_dim));
    if (args.bias) {
      const int row = at.y / y.step - other.y / y.step + window_y - 1;
      const int column = at.x / x.step - other.x / x.step + window_x - 1;
      score += args.bias[table + row * (2 * window_x - 1) + column];
    }
    if (lane % kGroup == 0 && j < count) {
      const C weight = std::exp(score - args.lse[token]);
      weights[j] = weight;
      grads[j] = weight * (grad_weight - delta[token]);
    }
  }
  __syncwarp();

  T* grad_k = args.grad_k + offset(args.grad_k_strides, at.b, at.y, at.x, at.m);
  T* grad_v = args.grad_v + offset(args.grad_v_strides, at.b, at.y, at.x, at.m);
  for (int64_t c = lane; c < shape.head_dim; c += device::kWarp) {
    C sum_k = 0, sum_v = 0;
    for (int row = 0; row < y.count; ++row) {
      const T* q = args.q + offset(args.q_strides, at.b, y[row], x.first, at.m) + c;
      const T* grad_out = args.grad_out + offset(args.grad_out_strides, at.b, y[row], x.first, at.m) + c;
      for (int column = 0; column < x.count; ++column) {
        sum_k += grads[row * x.count + column] * widen(*q);
        sum_v += weights[row * x.count + column] * widen(*grad_out);
        q += x.step * args.q_strides.x;
        grad_out += x.step * args.grad_out_strides.x;
      }
    }
    grad_k[c] = narrow<T>(args.scale * sum_k);
    grad_v[c] = narrow<T>(sum_v);
  }
}

}  // namespace

template <typename T>
int per_token_backward(const Na2dBackward<T>& args, Compute<T>* delta, Compute<T>* unit_partials, void* stream) {
  const Na2dShape& s = args.shape;
  const int64_t planes = s.batch * s.heads, units = per_token_bias_units(s);
  const int status = launch_blocks(per_token_query_kernel<T>, planes * units, kQueryWarps, 0, stream, args, delta,
                                   unit_partials, units);
  if (status != 0) return status;
  const int most = static_cast<int>((2 * s.window_y - 1) * (2 * s.window_x - 1));
  const int64_t blocks = (planes * s.height * s.width + kKeyWarps - 1) / kKeyWarps;
  return launch_blocks(per_token_key_kernel<T>, blocks, kKeyWarps, kKeyWarps * 2 * most * sizeof(Compute<T>), stream,
                       args, delta, most);
}

template int per_token_backward(const Na2dBackward<float>&, float*, float*, void*);
template int per_token_backward(const Na2dBackward<double>&, double*, double*, void*);
template int per_token_backward(const Na2dBackward<bf16>&, float*, float*, void*);
template int per_token_backward(const Na2dBackward<f16>&, float*, float*, void*);

}  // namespace smalti::na2d
