// Forward pass with one warp per query.
#include <cmath>

#include "launch.h"
#include "per_token.h"

namespace smalti::na2d {
namespace {

constexpr int kWarps = 8;

template <typename T>
__global__ void __launch_bounds__(kWarps * device::kWarp, 2) per_token_forward_kernel(const Na2dForward<T> args) {
  using C = Compute<T>;
  SMALTI_SHARED(C, all_weights, kWarps * kMaxKeys);
  const Na2dShape& shape = args.shape;
  const int warp = threadIdx.x / device::kWarp, lane = device::lane();
  C* weights = all_weights + warp * kMaxKeys;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kWarps + warp;
  if (index >= shape.batch * shape.heads * shape.height * shape.width) return;
  const Token at = token_at(shape, index);
  const QueryAxis y = query_axis(at.y, shape.height, shape.window_y, shape.dilation_y);
  const QueryAxis x = query_axis(at.x, shape.width, shape.window_x, shape.dilation_x);
  const int count = y.keys.count * x.keys.count;
  const int table_pitch = 2 * x.keys.count - 1;
  const int64_t table = at.m * (2 * y.keys.count - 1) * table_pitch;
  const T* q = args.q + offset(args.q_strides, at.b, at.y, at.x, at.m);

  for (int first = 0; first < count; first += kGroups) {
    const int j = first + lane / kGroup;
    const int key = smaller(j, count - 1);  // surplus groups take part in the shuffles
    const int row = key / x.keys.count, column = key % x.keys.count;
    const T* k = args.k + offset(args.k_strides, at.b, y.keys[row], x.keys[column], at.m);
    C score = args.scale * lanes_sum<kGroup>(lane_dot(q, k, shape.head_dim));
    if (args.bias) score += args.bias[table + (y.bias + row) * table_pitch + x.bias + column];
    if (lane % kGroup == 0 && j < count) weights[j] = score;
  }
  __syncwarp();

  C top = weights[0];
  for (int j = lane; j < count; j += device::kWarp) top = weights[j] > top ? weights[j] : top;
  top = lanes_max<device::kWarp>(top);
  C total = 0;
  for (int j = lane; j < count; j += device::kWarp) {
    const C weight = std::exp(weights[j] - top);
    weights[j] = weight;
    total += weight;
  }
  total = lanes_sum<device::kWarp>(total);
  __syncwarp();

  T* out = args.out + plane_offset(shape, at) * shape.head_dim;
  for (int64_t c = lane; c < shape.head_dim; c += device::kWarp) {
    C sum = 0;
    for (int row = 0; row < y.keys.count; ++row) {
      const T* v = args.v + offset(args.v_strides, at.b, y.keys[row], x.keys.first, at.m) + c;
      for (int column = 0; column < x.keys.count; ++column, v += x.keys.step * args.v_strides.x)
        sum += weights[row * x.keys.count + column] * widen(*v);
    }
    out[c] = narrow<T>(sum / total);
  }
  if (args.lse && lane == 0) args.lse[plane_offset(shape, at)] = top + std::log(total);
}

}  // namespace

template <typename T>
int per_token_forward(const Na2dForward<T>& args, void* stream) {
  const Na2dShape& s = args.shape;
  const int64_t blocks = (s.batch * s.heads * s.height * s.width + kWarps - 1) / kWarps;
  return launch_blocks(per_token_forward_kernel<T>, blocks, kWarps, 0, stream, args);
}

template int per_token_forward(const Na2dForward<float>&, void*);
template int per_token_forward(const Na2dForward<double>&, void*);
template int per_token_forward(const Na2dForward<bf16>&, void*);
template int per_token_forward(const Na2dForward<f16>&, void*);

}  // namespace smalti::na2d
