// The registered operators of multi-scale deformable attention and what their implementations share.
#pragma once

#include <ATen/ATen.h>

#include <tuple>
#include <vector>

#include "cpu/kernel.h"

namespace smalti::deform {

constexpr const char* kOp = "ms_deform_attn";

struct Inputs {
  at::Tensor value, reference, offsets, logits;
};

// value [B, S, M, D], reference [B, Q, L, 2], offsets [B, Q, M, L, P, 2], logits [B, Q, M, L * P]; sizes: heights and widths
// of the levels in turn. Throws Refusal.
void check(const Inputs& in, at::IntArrayRef sizes);

// The levels with their first row in the flattened value.
std::vector<DeformLevel> levels_of(at::IntArrayRef sizes);

// A reference point moves all points of its level, by the level's size in pixels: [B, Q, M, L, P, 2] -> [B, Q, L, 2].
at::Tensor reference_gradient(const at::Tensor& grad_offsets, at::IntArrayRef sizes);

// What kernels take: channels of value dense, the rest contiguous and in the type of the arithmetic.
Inputs dense(const Inputs& in);

// Signatures of the operators `smalti::ms_deform_attn` and `smalti::ms_deform_attn_backward`.
using Forward = at::Tensor(const at::Tensor& value, const at::Tensor& reference, const at::Tensor& offsets,
                           const at::Tensor& logits, at::IntArrayRef sizes);
using Grads = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
using Backward = Grads(const at::Tensor& grad_out, const at::Tensor& value, const at::Tensor& reference,
                       const at::Tensor& offsets, const at::Tensor& logits, at::IntArrayRef sizes);

}  // namespace smalti::deform
