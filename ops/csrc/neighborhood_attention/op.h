// The registered operators of 2D neighborhood attention and what their implementations share.
#pragma once

#include <ATen/ATen.h>

#include <tuple>

namespace smalti::na2d {

constexpr const char* kOp = "neighborhood_attention_2d";
constexpr int64_t kMaxWindow = 13;
constexpr int64_t kMaxHeadDim = 1024;

using Bias = std::optional<at::Tensor>;
using Pair = at::IntArrayRef;  // y, x

// q, k, v [B, H, W, M, D], bias [M, 2Ky-1, 2Kx-1]; throws Refusal.
void check(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Bias& bias, Pair window, Pair dilation);

// Signatures of the operators `smalti::neighborhood_attention_2d`, `..._forward` and `..._backward`.
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Bias& bias, Pair window,
                     Pair dilation, double scale);
using Forward = std::tuple<at::Tensor, at::Tensor>(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                                   const Bias& bias, Pair window, Pair dilation, double scale);
using Backward = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>(
    const at::Tensor& grad_out, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Bias& bias,
    const at::Tensor& out, const at::Tensor& lse, Pair window, Pair dilation, double scale, bool bias_grad);

}  // namespace smalti::na2d
