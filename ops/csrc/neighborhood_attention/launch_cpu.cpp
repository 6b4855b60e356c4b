// 2D neighborhood attention on the CPU: tensors to plain pointers, and the choice of the instruction set.
#include <torch/library.h>

#include "../cpu_dispatch.h"
#include "../tensors.h"
#include "cpu/kernel.h"
#include "op.h"

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

Strides strides_of(const at::Tensor& t) { return {t.stride(0), t.stride(1), t.stride(2), t.stride(3)}; }

Na2dShape shape_of(const at::Tensor& q, Pair window, Pair dilation) {
  return {q.size(0), q.size(1), q.size(2),   q.size(3),   q.size(4),
          window[0], window[1], dilation[0], dilation[1]};
}

at::Tensor table_of(const Bias& bias, const at::Tensor& q) {
  if (!bias.has_value() || !bias->defined()) return {};
  return bias->to(compute_type(q.scalar_type())).contiguous();
}

std::tuple<at::Tensor, at::Tensor> run_forward(const at::Tensor& q_given, const at::Tensor& k_given,
                                               const at::Tensor& v_given, const Bias& bias, Pair window, Pair dilation,
                                               double scale, bool with_lse) {
  check(q_given, k_given, v_given, bias, window, dilation);
  const auto q = channels_dense(q_given), k = channels_dense(k_given), v = channels_dense(v_given);
  const auto table = table_of(bias, q);
  auto out = at::empty(q.sizes(), q.options());
  at::Tensor lse;
  if (with_lse) lse = at::empty(q.sizes().slice(0, 4), q.options().dtype(compute_type(q.scalar_type())));
  if (q.numel() == 0) return {out, lse};
  for_type(q.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    const Na2dForward<T> args{shape_of(q, window, dilation),
                              static_cast<Compute<T>>(scale),
                              data<T>(q),
                              data<T>(k),
                              data<T>(v),
                              strides_of(q),
                              strides_of(k),
                              strides_of(v),
                              data<Compute<T>>(table),
                              mutable_data<T>(out),
                              mutable_data<Compute<T>>(lse)};
    const auto& kernel = kernels<T>();
    parallel(na2d_forward_units(args.shape), [&](int64_t begin, int64_t end) { kernel.forward(args, begin, end); });
  });
  return {out, lse};
}

at::Tensor attention_cpu(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Bias& bias, Pair window,
                         Pair dilation, double scale) {
  return std::get<0>(run_forward(q, k, v, bias, window, dilation, scale, /*with_lse=*/false));
}

std::tuple<at::Tensor, at::Tensor> forward_cpu(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                               const Bias& bias, Pair window, Pair dilation, double scale) {
  return run_forward(q, k, v, bias, window, dilation, scale, /*with_lse=*/true);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> backward_cpu(
    const at::Tensor& grad_out_given, const at::Tensor& q_given, const at::Tensor& k_given, const at::Tensor& v_given,
    const Bias& bias, const at::Tensor& out, const at::Tensor& lse, Pair window, Pair dilation, double scale,
    bool bias_grad) {
  check(q_given, k_given, v_given, bias, window, dilation);
  const auto q = channels_dense(q_given), k = channels_dense(k_given), v = channels_dense(v_given);
  const auto grad_out = channels_dense(grad_out_given);
  const auto table = table_of(bias, q);
  const auto grad_q = at::empty(q.sizes(), q.options()), grad_k = at::empty(q.sizes(), q.options()),
             grad_v = at::empty(q.sizes(), q.options());
  const auto classes = dilation[0] * dilation[1], heads = q.size(3);
  at::Tensor parts;
  if (bias_grad) {
    const auto shape = {q.size(0), heads, classes, 2 * window[0] - 1, 2 * window[1] - 1};
    parts = q.numel() == 0 ? at::zeros(shape, table.options()) : at::empty(shape, table.options());
  }
  if (q.numel() > 0) {
    for_type(q.scalar_type(), [&](auto zero) {
      using T = decltype(zero);
      const Na2dBackward<T> args{shape_of(q, window, dilation),
                                 static_cast<Compute<T>>(scale),
                                 data<T>(q),
                                 data<T>(k),
                                 data<T>(v),
                                 strides_of(q),
                                 strides_of(k),
                                 strides_of(v),
                                 data<Compute<T>>(table),
                                 data<Compute<T>>(lse),
                                 data<T>(out),
                                 data<T>(grad_out),
                                 strides_of(grad_out),
                                 mutable_data<T>(grad_q),
                                 mutable_data<T>(grad_k),
                                 mutable_data<T>(grad_v),
                                 strides_of(grad_q),
                                 strides_of(grad_k),
                                 strides_of(grad_v),
                                 mutable_data<Compute<T>>(parts)};
      const auto& kernel = kernels<T>();
      parallel(na2d_backward_units(args.shape), [&](int64_t begin, int64_t end) { kernel.backward(args, begin, end); });
    });
  }
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
