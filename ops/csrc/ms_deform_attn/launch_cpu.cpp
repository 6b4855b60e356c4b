// Multi-scale deformable attention on the CPU: tensors to plain pointers, and the choice of the instruction set.
#include <torch/library.h>

#include "../cpu_dispatch.h"
#include "../tensors.h"
#include "cpu/kernel.h"
#include "op.h"

namespace smalti::deform {
namespace {

template <typename T>
const DeformKernels<T>& kernels();
template <>
const DeformKernels<float>& kernels() {
  return SMALTI_BEST_ISA(deform_f32);
}
template <>
const DeformKernels<double>& kernels() {
  return SMALTI_BEST_ISA(deform_f64);
}
template <>
const DeformKernels<bf16>& kernels() {
  return SMALTI_BEST_ISA(deform_bf16);
}
template <>
const DeformKernels<f16>& kernels() {
  return SMALTI_BEST_ISA(deform_f16);
}

DeformShape shape_of(const Inputs& in, const std::vector<DeformLevel>& levels) {
  const auto &value = in.value, &offsets = in.offsets;
  return {value.size(0),   value.size(1), offsets.size(1), value.size(2),   value.size(3),  offsets.size(3),
          offsets.size(4), levels.data(), value.stride(0), value.stride(1), value.stride(2)};
}

at::Tensor forward_cpu(const at::Tensor& value, const at::Tensor& reference, const at::Tensor& offsets,
                       const at::Tensor& logits, at::IntArrayRef sizes) {
  check({value, reference, offsets, logits}, sizes);
  const Inputs in = dense({value, reference, offsets, logits});
  const auto levels = levels_of(sizes);
  auto out = at::empty({value.size(0), offsets.size(1), value.size(2), value.size(3)}, value.options());
  if (out.numel() == 0) return out;
  for_type(value.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    using C = Compute<T>;
    const DeformForward<T> args{shape_of(in, levels), data<T>(in.value),  data<C>(in.reference),
                                data<C>(in.offsets),  data<C>(in.logits), mutable_data<T>(out)};
    const auto& kernel = kernels<T>();
    parallel(args.shape.batch * args.shape.queries,
             [&](int64_t begin, int64_t end) { kernel.forward(args, begin, end); });
  });
  return out;
}

Grads backward_cpu(const at::Tensor& grad_out, const at::Tensor& value, const at::Tensor& reference,
                   const at::Tensor& offsets, const at::Tensor& logits, at::IntArrayRef sizes) {
  check({value, reference, offsets, logits}, sizes);
  const Inputs in = dense({value, reference, offsets, logits});
  const auto levels = levels_of(sizes);
  const auto grad = grad_out.contiguous();
  auto grad_value = at::empty(value.sizes(), value.options());
  auto grad_offsets = at::empty_like(in.offsets), grad_logits = at::empty_like(in.logits);
  // Without queries the kernels still write the zeros of the value's gradient.
  if (grad_value.numel() > 0) {
    for_type(value.scalar_type(), [&](auto zero) {
      using T = decltype(zero);
      using C = Compute<T>;
      const DeformBackward<T> args{shape_of(in, levels),        data<T>(in.value),
                                   data<C>(in.reference),       data<C>(in.offsets),
                                   data<C>(in.logits),          data<T>(grad),
                                   mutable_data<T>(grad_value), mutable_data<C>(grad_offsets),
                                   mutable_data<C>(grad_logits)};
      const auto& kernel = kernels<T>();
      parallel(args.shape.batch * args.shape.heads,
               [&](int64_t begin, int64_t end) { kernel.backward(args, begin, end); });
    });
  }
  return {grad_value, reference_gradient(grad_offsets, sizes).to(reference.scalar_type()),
          grad_offsets.to(offsets.scalar_type()), grad_logits.to(logits.scalar_type())};
}

}  // namespace

TORCH_LIBRARY_IMPL(smalti, CPU, library) {
  library.impl("ms_deform_attn", TORCH_FN(forward_cpu));
  library.impl("ms_deform_attn_backward", TORCH_FN(backward_cpu));
}

}  // namespace smalti::deform
