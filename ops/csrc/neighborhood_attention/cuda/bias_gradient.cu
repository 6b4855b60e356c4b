// The bias gradient from the parts that the query kernels wrote.
#include "bias_gradient.h"

#include "launch.h"
#include "warp.h"

namespace smalti::na2d {
namespace {

constexpr int kSlices = 16;  // warps of a block, which share the parts of 32 bins

// A block has 32 bins of one head. Slice i sums parts i, i + kSlices, ...; the slices are then summed in order.
template <typename C>
__global__ void __launch_bounds__(kSlices * device::kWarp, 2)
    sum_bias_parts_kernel(const C* parts, C* grad_bias, int64_t batch, int64_t heads, int64_t units, int64_t table) {
  SMALTI_SHARED(C, sums, kSlices * device::kWarp);
  const int lane = device::lane(), slice = threadIdx.x / device::kWarp;
  const int64_t groups = gridDim.x / heads;
  const int64_t head = blockIdx.x / groups, bin = blockIdx.x % groups * device::kWarp + lane;
  C sum = 0;
  if (bin < table) {
    for (int64_t part = slice; part < batch * units; part += kSlices)
      sum += parts[((part / units * heads + head) * units + part % units) * table + bin];
  }
  sums[threadIdx.x] = sum;
  __syncthreads();
  if (slice > 0 || bin >= table) return;
  for (int i = 1; i < kSlices; ++i) sum += sums[i * device::kWarp + lane];
  grad_bias[head * table + bin] = sum;
}

}  // namespace

template <typename C>
int sum_bias_parts(const C* parts, C* grad_bias, int64_t batch, int64_t heads, int64_t units, int64_t table,
                   void* stream) {
  const int64_t groups = (table + device::kWarp - 1) / device::kWarp;
  return launch_blocks(sum_bias_parts_kernel<C>, heads * groups, kSlices, 0, stream, parts, grad_bias, batch, heads,
                       units, table);
}

template int sum_bias_parts(const float*, float*, int64_t, int64_t, int64_t, int64_t, void*);
template int sum_bias_parts(const double*, double*, int64_t, int64_t, int64_t, int64_t, void*);

}  // namespace smalti::na2d
