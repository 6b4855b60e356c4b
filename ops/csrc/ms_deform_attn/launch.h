// Tensors to the plain structures of the kernels: what the launchers of all devices share.
#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "../tensors.h"
#include "cpu/kernel.h"
#include "op.h"

namespace smalti::deform {

inline DeformShape shape_of(const Inputs& in, const std::vector<DeformLevel>& levels) {
  const auto &value = in.value, &offsets = in.offsets;
  return {value.size(0),   value.size(1), offsets.size(1), value.size(2),   value.size(3),  offsets.size(3),
          offsets.size(4), levels.data(), value.stride(0), value.stride(1), value.stride(2)};
}

// Checks, allocates and calls launch(const DeformForward<T>&): out [B, Q, M, D].
template <typename Launch>
at::Tensor run_forward(const Inputs& given, at::IntArrayRef sizes, const Launch& launch) {
  check(given, sizes);
  const Inputs in = dense(given);
  const auto levels = levels_of(sizes);
  const auto& value = in.value;
  auto out = at::empty({value.size(0), in.offsets.size(1), value.size(2), value.size(3)}, value.options());
  if (out.numel() == 0) return out;
  for_type(value.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    using C = Compute<T>;
    launch(DeformForward<T>{shape_of(in, levels), data<T>(value), data<C>(in.reference), data<C>(in.offsets),
                            data<C>(in.logits), mutable_data<T>(out)});
  });
  return out;
}

// Checks, allocates and calls launch(const DeformBackward<T>&): gradients of all inputs.
template <typename Launch>
Grads run_backward(const at::Tensor& grad_out, const Inputs& given, at::IntArrayRef sizes, const Launch& launch) {
  check(given, sizes);
  const Inputs in = dense(given);
  const auto levels = levels_of(sizes);
  const auto grad = grad_out.contiguous();
  auto grad_value = at::empty(in.value.sizes(), in.value.options());
  auto grad_offsets = at::empty_like(in.offsets), grad_logits = at::empty_like(in.logits);
  // Without queries the kernels still write the zeros of the value's gradient.
  if (grad_value.numel() > 0) {
    for_type(in.value.scalar_type(), [&](auto zero) {
      using T = decltype(zero);
      using C = Compute<T>;
      launch(DeformBackward<T>{shape_of(in, levels), data<T>(in.value), data<C>(in.reference), data<C>(in.offsets),
                               data<C>(in.logits), data<T>(grad), mutable_data<T>(grad_value),
                               mutable_data<C>(grad_offsets), mutable_data<C>(grad_logits)});
    });
  }
  return {grad_value, reference_gradient(grad_offsets, sizes).to(given.reference.scalar_type()),
          grad_offsets.to(given.offsets.scalar_type()), grad_logits.to(given.logits.scalar_type())};
}

}  // namespace smalti::deform
