// Tensors to the plain structures of the kernels: what the launchers of all devices share.
#pragma once

#include <ATen/ATen.h>

#include <tuple>

#include "../tensors.h"
#include "cpu/kernel.h"
#include "op.h"

namespace smalti::na2d {

inline Strides strides_of(const at::Tensor& t) { return {t.stride(0), t.stride(1), t.stride(2), t.stride(3)}; }

inline Na2dShape shape_of(const at::Tensor& q, Pair window, Pair dilation) {
  return {q.size(0), q.size(1), q.size(2), q.size(3), q.size(4), window[0], window[1], dilation[0], dilation[1]};
}

// The bias table in the type of the arithmetic; undefined without one.
inline at::Tensor table_of(const Bias& bias, const at::Tensor& q) {
  if (!bias.has_value() || !bias->defined()) return {};
  return bias->to(compute_type(q.scalar_type())).contiguous();
}

// Checks, allocates and calls launch(const Na2dForward<T>&): out [B, H, W, M, D], and lse [B, H, W, M] if asked for.
template <typename Launch>
std::tuple<at::Tensor, at::Tensor> run_forward(const at::Tensor& q_given, const at::Tensor& k_given,
                                               const at::Tensor& v_given, const Bias& bias, Pair window, Pair dilation,
                                               double scale, bool with_lse, const Launch& launch) {
  check(q_given, k_given, v_given, bias, window, dilation);
  const auto q = channels_dense(q_given), k = channels_dense(k_given), v = channels_dense(v_given);
  const auto table = table_of(bias, q);
  auto out = at::empty(q.sizes(), q.options());
  at::Tensor lse;
  if (with_lse) lse = at::empty(q.sizes().slice(0, 4), q.options().dtype(compute_type(q.scalar_type())));
  if (q.numel() == 0) return {out, lse};
  for_type(q.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    launch(Na2dForward<T>{shape_of(q, window, dilation),
                          static_cast<Compute<T>>(scale),
                          data<T>(q),
                          data<T>(k),
                          data<T>(v),
                          strides_of(q),
                          strides_of(k),
                          strides_of(v),
                          data<Compute<T>>(table),
                          mutable_data<T>(out),
                          mutable_data<Compute<T>>(lse)});
  });
  return {out, lse};
}

// Checks, allocates and calls launch(const Na2dBackward<T>&): gradients of q, k and v. grad_bias is what the device's
// kernels want of one, or undefined.
template <typename Launch>
std::tuple<at::Tensor, at::Tensor, at::Tensor> run_backward(const at::Tensor& grad_out_given, const at::Tensor& q_given,
                                                            const at::Tensor& k_given, const at::Tensor& v_given,
                                                            const Bias& bias, const at::Tensor& out,
                                                            const at::Tensor& lse, Pair window, Pair dilation,
                                                            double scale, const at::Tensor& grad_bias,
                                                            const Launch& launch) {
  check(q_given, k_given, v_given, bias, window, dilation);
  const auto q = channels_dense(q_given), k = channels_dense(k_given), v = channels_dense(v_given);
  const auto grad_out = channels_dense(grad_out_given);
  const auto table = table_of(bias, q);
  const auto grad_q = at::empty(q.sizes(), q.options()), grad_k = at::empty(q.sizes(), q.options()),
             grad_v = at::empty(q.sizes(), q.options());
  if (q.numel() == 0) return {grad_q, grad_k, grad_v};
  for_type(q.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    launch(Na2dBackward<T>{shape_of(q, window, dilation),
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
                           mutable_data<Compute<T>>(grad_bias)});
  });
  return {grad_q, grad_k, grad_v};
}

}  // namespace smalti::na2d
