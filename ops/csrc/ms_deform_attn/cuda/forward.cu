// Forward kernel: a group of lanes per (query, head) sums the rows of all corners.
#include "channels.h"
#include "deform.h"
#include "instances.h"
#include "taps.h"

namespace smalti::deform {
namespace {

template <typename T>
struct ForwardArgs {
  Shape shape;
  const T* value;
  const Compute<T>*reference, *offsets, *logits;
  T* out;
};

// Blocks on a multiprocessor: leaves ptxas as many registers as it takes without spilling.
constexpr int kResident = 6;

// D: head dim, 0 = any; Count: levels * points, 0 = any.
template <typename T, int D, int Count>
__global__ void __launch_bounds__(kThreads, kResident) forward_kernel(const __grid_constant__ ForwardArgs<T> a) {
  using C = Compute<T>;
  constexpr int kGroup = Lanes<T, D>::kGroup, kChannels = Lanes<T, D>::kChannels;
  const Shape& s = a.shape;
  const int dim = D > 0 ? D : s.head_dim, count = Count > 0 ? Count : s.levels * s.points;
  const int member = static_cast<int>(threadIdx.x) % kGroup;
  const Place at = place_of<Lanes<T, D>::kRows>(s, static_cast<int>(threadIdx.x) / kGroup);
  const Points<C> points = points_of<kGroup>(s, at, count, member, a.reference, a.offsets, a.logits);
  const T* map = a.value + at.image * s.value_b + at.head * s.value_m;

  for (int first = 0; first < dim; first += kGroup * kChannels) {
    const int channel = first + member * kChannels;
    const bool exists = D > 0 || channel < dim;
    C sum[kChannels] = {};
    SMALTI_UNROLL_BY((Count > 0 ? 4 : 1))
    for (int begin = 0; begin < count; begin += kGroup) {
      const Tap<C> own = points.tap(s, begin + member, count);
      const int end = count - begin < kGroup ? count - begin : kGroup;
      SMALTI_UNROLL_BY(2)
      for (int from = 0; from < end; ++from) {
        const Tap<C> tap = hand_round<kGroup>(own, from);
        C share[4];
        tap.shares(share);
        SMALTI_UNROLL
        for (int c = 0; c < 4; ++c) {
          C row[kChannels];
          load_channels(map + corner_offset(tap, c, s) + channel, exists && tap.has(c), row);
          SMALTI_UNROLL
          for (int i = 0; i < kChannels; ++i) sum[i] += share[c] * row[i];
        }
      }
    }
    if (at.active && exists) store_channels(sum, a.out + at.row * dim + channel);
  }
}

template <typename T>
struct Forward {
  const ForwardArgs<T>& args;
  int64_t batch;
  void* stream;

  template <int D, int Count>
  int run() const {
    const int64_t blocks = blocks_of(batch, args.shape, Lanes<T, D>::kRows);
    return launch_blocks(forward_kernel<T, D, Count>, blocks, kThreads, 0, stream, args);
  }
};

}  // namespace

template <typename T>
int forward_cuda(const DeformForward<T>& args, void* stream) {
  ForwardArgs<T> device_args{{}, args.value, args.reference, args.offsets, args.logits, args.out};
  if (!to_device_shape(args.shape, &device_args.shape)) return kInvalidValue;
  const DeformShape& s = args.shape;
  const bool vectors = vectors_fit(args.value, s.value_b, s.value_s, s.value_m) && vectors_fit(args.out);
  return run_instance<T>(Forward<T>{device_args, s.batch, stream}, device_args.shape, vectors);
}

template int forward_cuda(const DeformForward<float>&, void*);
template int forward_cuda(const DeformForward<double>&, void*);
template int forward_cuda(const DeformForward<bf16>&, void*);
template int forward_cuda(const DeformForward<f16>&, void*);

}  // namespace smalti::deform
