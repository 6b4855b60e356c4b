// 2D neighborhood attention on the CPU: the choice of the instruction set and the split over threads.
#include <torch/library.h>

#include "../cpu_dispatch.h"
#include "launch.h"

namespace smalti::na2d {
namespace {

template <typename T>
const Na2dKernels<T>& kernels();
template <>
const Na2dKernels<float>& kernels() {
  return SMALTI_BEST_ISA(na2d_f32);
}
template <>
const Na2dKernels<double>& kernels() {
  return SMALTI_BEST_ISA(na2d_f64);
}
template <>
const Na2dKernels<bf16>& kernels() {
  return SMALTI_BEST_ISA(na2d_bf16);
}
template <>
const Na2dKernels<f16>& kernels() {
  return SMALTI_BEST_ISA(na2d_f16);
}

template <typename T>
void launch(const Na2dForward<T>& args) {
  const auto& kernel = kernels<T>();
  parallel(na2d_forward_units(args.shape), [&](int64_t begin, int64_t end) { kernel.forward(args, begin, end); });
}

template <typename T>
void launch(const Na2dBackward<T>& args) {
  const auto& kernel = kernels<T>();
  parallel(na2d_backward_units(args.shape), [&](int64_t begin, int64_t end) { kernel.backward(args, begin, end); });
}

constexpr auto on_threads = [](const auto& args) { launch(args); };

at::Tensor attention_cpu(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Bias& bias, Pair window,
                         Pair dilation, double scale) {
  return std::get<0>(run_forward(q, k, v, bias, window, dilation, scale, /*with_lse=*/false, on_threads));
}

std::tuple<at::Tensor, at::Tensor> forward_cpu(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                               const Bias& bias, Pair window, Pair dilation, double scale) {
  return run_forward(q, k, v, bias, window, dilation, scale, /*with_lse=*/true, on_threads);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> backward_cpu(
    const at::Tensor& grad_out, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Bias& bias,
    const at::Tensor& out, const at::Tensor& lse, Pair window, Pair dilation, double scale, bool bias_grad) {
  at::Tensor parts;  // one table a unit, summed here in a fixed order: [B, M, classes, 2Ky-1, 2Kx-1]
  if (bias_grad) {
    const auto options = q.options().dtype(compute_type(q.scalar_type()));
    const at::DimVector shape{q.size(0), q.size(3), dilation[0] * dilation[1], 2 * window[0] - 1, 2 * window[1] - 1};
    parts = q.numel() > 0 ? at::empty(shape, options) : at::zeros(shape, options);
  }
  auto [grad_q, grad_k, grad_v] =
      run_backward(grad_out, q, k, v, bias, out, lse, window, dilation, scale, parts, on_threads);
  const auto grad_bias = bias_grad ? parts.sum(at::IntArrayRef{0, 2}).to(bias->scalar_type()) : at::Tensor();
  return {grad_q, grad_k, grad_v, grad_bias};
}

}  // namespace

TORCH_LIBRARY_IMPL(smalti, CPU, library) {
  library.impl("neighborhood_attention_2d", TORCH_FN(attention_cpu));
  library.impl("neighborhood_attention_2d_forward", TORCH_FN(forward_cpu));
  library.impl("neighborhood_attention_2d_backward", TORCH_FN(backward_cpu));
}

}  // namespace smalti::na2d
