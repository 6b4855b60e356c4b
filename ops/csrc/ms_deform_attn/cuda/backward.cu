// Backward kernel: a group of lanes per (query, head) takes the products of the output's gradient with the rows of all
// corners, which make the gradients of offsets and logits, and scatters it into the gradient of the value if that is to
// be fast.
#include "channels.h"
#include "deform.h"
#include "gather.h"
#include "instances.h"
#include "taps.h"

namespace smalti::deform {
namespace {

template <typename T>
struct BackwardArgs {
  using C = Compute<T>;

  Shape shape;
  const T* value;
  const C *reference, *offsets, *logits;
  const T* grad_out;
  C *grad_offsets, *grad_logits;
  C* scatter;           // [B, S, M, D] of zeros, or nullptr
  Softmax<C>* softmax;  // [B, Q, M], or nullptr
};

template <typename C>
struct PointGradient {
  C weight, x, y;  // by the attention weight; by the position, before the attention weight
};

// From the products with the four corners.
template <typename C>
__device__ __forceinline__ PointGradient<C> point_gradient(const Tap<C>& tap, const C (&dot)[4]) {
  const C slope_up = dot[1] - dot[0], slope_down = dot[3] - dot[2];
  const C up = dot[0] + tap.x * slope_up, down = dot[2] + tap.x * slope_down;
  return {up + tap.y * (down - up), slope_up + tap.y * (slope_down - slope_up), down - up};
}

// Blocks on a multiprocessor: leaves ptxas as many registers as it takes without spilling.
template <typename T>
constexpr int kResident = sizeof(T) == 8 ? 4 : 5;

template <typename T, int D, int Count>
__global__ void __launch_bounds__(kThreads, kResident<T>) backward_kernel(const __grid_constant__ BackwardArgs<T> a) {
  using C = Compute<T>;
  constexpr int kGroup = Lanes<T, D>::kGroup, kChannels = Lanes<T, D>::kChannels;
  const Shape& s = a.shape;
  const int dim = D > 0 ? D : s.head_dim, count = Count > 0 ? Count : s.levels * s.points;
  const int member = static_cast<int>(threadIdx.x) % kGroup;
  const Place at = place_of<Lanes<T, D>::kRows>(s, static_cast<int>(threadIdx.x) / kGroup);
  const Points<C> points = points_of<kGroup>(s, at, count, member, a.reference, a.offsets, a.logits);
  const T* map = a.value + at.image * s.value_b + at.head * s.value_m;
  const T* grad_out = a.grad_out + at.row * dim;
  C* grad_logits = a.grad_logits + at.row * count;
  C* grad_offsets = a.grad_offsets + at.row * count * 2;
  if (a.softmax && at.active && member == 0) a.softmax[at.row] = points.softmax;

  // With D known a lane has all of its channels in registers.
  C grad[kChannels];
  if constexpr (D > 0) load_channels(grad_out + member * kChannels, true, grad);
  C mean = 0;  // of the gradients by attention weights, in parts
  SMALTI_UNROLL_BY((Count > 0 ? 4 : 1))
  for (int begin = 0; begin < count; begin += kGroup) {
    const Tap<C> own = points.tap(s, begin + member, count);
    PointGradient<C> gradient = {};
    const int end = count - begin < kGroup ? count - begin : kGroup;
    SMALTI_UNROLL_BY(2)
    for (int from = 0; from < end; ++from) {
      const Tap<C> tap = hand_round<kGroup>(own, from);
      C share[4], dot[4] = {};
      tap.shares(share);
      for (int first = 0; first < dim; first += kGroup * kChannels) {
        const int channel = first + member * kChannels;
        if (D == 0 && channel >= dim) continue;
        if constexpr (D == 0) load_channels(grad_out + channel, true, grad);
        SMALTI_UNROLL
        for (int c = 0; c < 4; ++c) {
          C row[kChannels];
          load_channels(map + corner_offset(tap, c, s) + channel, tap.has(c), row);
          SMALTI_UNROLL
          for (int i = 0; i < kChannels; ++i) dot[c] += grad[i] * row[i];
        }
        if (!a.scatter || !at.active) continue;
        SMALTI_UNROLL
        for (int c = 0; c < 4; ++c) {
          if (!tap.has(c)) continue;
          C scaled[kChannels];
          SMALTI_UNROLL
          for (int i = 0; i < kChannels; ++i) scaled[i] = share[c] * grad[i];
          const int64_t cell = (at.image * s.positions + tap.row_of(c)) * s.heads + at.head;
          add_atomically(a.scatter + cell * dim + channel, scaled);
        }
      }
      PointGradient<C> sum = point_gradient(tap, dot);
      sum = {group_sum<kGroup>(sum.weight), group_sum<kGroup>(sum.x), group_sum<kGroup>(sum.y)};
      if (member == from) gradient = sum;
    }
    const int point = begin + member;
    if (point >= count) continue;
    mean += own.weight * gradient.weight;
    if (!at.active) continue;
    grad_offsets[2 * point] = own.inside() ? own.weight * gradient.x : C(0);
    grad_offsets[2 * point + 1] = own.inside() ? own.weight * gradient.y : C(0);
    grad_logits[point] = gradient.weight;
  }
  mean = group_sum<kGroup>(mean);
  if (!at.active) return;
  // Each lane goes over what it has written itself.
  for (int point = member; point < count; point += kGroup)
    grad_logits[point] = points.softmax.weight(points.logits[point]) * (grad_logits[point] - mean);
}

template <typename T>
struct Backward {
  const BackwardArgs<T>& args;
  int64_t batch;
  void* stream;

  template <int D, int Count>
  int run() const {
    const int64_t blocks = blocks_of(batch, args.shape, Lanes<T, D>::kRows);
    return launch_blocks(backward_kernel<T, D, Count>, blocks, kThreads, 0, stream, args);
  }
};

constexpr int kRoundedPerThread = 4;

template <typename T>
__global__ void __launch_bounds__(kThreads) round_kernel(const float* from, T* to, int64_t count) {
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kRoundedPerThread;
  if (first + kRoundedPerThread <= count) {
    const float4 v = device::load<float4>(from + first);
    to[first] = narrow<T>(v.x), to[first + 1] = narrow<T>(v.y);
    to[first + 2] = narrow<T>(v.z), to[first + 3] = narrow<T>(v.w);
    return;
  }
  for (int64_t i = first; i < count; ++i) to[i] = narrow<T>(from[i]);
}

int64_t value_size(const DeformShape& s) { return s.batch * s.positions * s.heads * s.head_dim; }

template <typename T>
constexpr bool kHalf = sizeof(T) == 2;

}  // namespace

template <typename T>
int64_t backward_cuda_workspace(const DeformBackward<T>& args, ValueGradient how) {
  const DeformShape& s = args.shape;
  if (how == ValueGradient::kFast) return kHalf<T> ? value_size(s) * static_cast<int64_t>(sizeof(float)) : 0;
  return s.batch * s.queries * s.heads * static_cast<int64_t>(sizeof(Softmax<Compute<T>>));
}

template <typename T>
int backward_cuda(const DeformBackward<T>& args, ValueGradient how, void* workspace, void* stream) {
  using C = Compute<T>;
  const DeformShape& s = args.shape;
  const bool fast = how == ValueGradient::kFast;
  BackwardArgs<T> device_args{{},           args.value,       args.reference,   args.offsets, args.logits,
                              args.grad_out, args.grad_offsets, args.grad_logits, nullptr,      nullptr};
  if (!to_device_shape(s, &device_args.shape)) return kInvalidValue;
  if (fast) {
    device_args.scatter = kHalf<T> ? static_cast<C*>(workspace) : reinterpret_cast<C*>(args.grad_value);
    const size_t bytes = static_cast<size_t>(value_size(s)) * sizeof(C);
    if (const int status = device::fill_zero(device_args.scatter, bytes, stream)) return status;
  } else {
    device_args.softmax = static_cast<Softmax<C>*>(workspace);
  }
  const bool vectors = vectors_fit(args.value, s.value_b, s.value_s, s.value_m) && vectors_fit(args.grad_out) &&
                       vectors_fit(device_args.scatter);
  if (const int status = run_instance<T>(Backward<T>{device_args, s.batch, stream}, device_args.shape, vectors))
    return status;
  if (!fast) {
    const GatherArgs<T> gather{device_args.shape,   args.reference, args.offsets,   args.logits,
                               device_args.softmax, args.grad_out,  args.grad_value};
    return gather_value_gradient(gather, s.batch, stream);
  }
  if constexpr (kHalf<T>) {
    const int64_t count = value_size(s), per_block = kThreads * kRoundedPerThread;
    return launch_blocks(round_kernel<T>, (count + per_block - 1) / per_block, kThreads, 0, stream,
                         device_args.scatter, args.grad_value, count);
  }
  return 0;
}

#define SMALTI_INSTANTIATE(T)                                                   \
  template int64_t backward_cuda_workspace(const DeformBackward<T>&, ValueGradient); \
  template int backward_cuda(const DeformBackward<T>&, ValueGradient, void*, void*);
SMALTI_INSTANTIATE(float)
SMALTI_INSTANTIATE(double)
SMALTI_INSTANTIATE(bf16)
SMALTI_INSTANTIATE(f16)
#undef SMALTI_INSTANTIATE

}  // namespace smalti::deform
