// Multi-scale deformable attention on the CPU: the choice of the instruction set and the split over threads.
#include <torch/library.h>

#include "../cpu_dispatch.h"
#include "launch.h"

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

template <typename T>
void launch(const DeformForward<T>& args) {
  const auto& kernel = kernels<T>();
  parallel(args.shape.batch * args.shape.queries,
           [&](int64_t begin, int64_t end) { kernel.forward(args, begin, end); });
}

template <typename T>
void launch(const DeformBackward<T>& args) {
  const auto& kernel = kernels<T>();
  parallel(args.shape.batch * args.shape.heads, [&](int64_t begin, int64_t end) { kernel.backward(args, begin, end); });
}

constexpr auto on_threads = [](const auto& args) { launch(args); };

at::Tensor forward_cpu(const at::Tensor& value, const at::Tensor& reference, const at::Tensor& offsets,
                       const at::Tensor& logits, at::IntArrayRef sizes) {
  return run_forward({value, reference, offsets, logits}, sizes, on_threads);
}

Grads backward_cpu(const at::Tensor& grad_out, const at::Tensor& value, const at::Tensor& reference,
                   const at::Tensor& offsets, const at::Tensor& logits, at::IntArrayRef sizes) {
  return run_backward(grad_out, {value, reference, offsets, logits}, sizes, on_threads);
}

}  // namespace

TORCH_LIBRARY_IMPL(smalti, CPU, library) {
  library.impl("ms_deform_attn", TORCH_FN(forward_cpu));
  library.impl("ms_deform_attn_backward", TORCH_FN(backward_cpu));
}

}  // namespace smalti::deform
