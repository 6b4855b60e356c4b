// Multi-scale deformable attention: dispatch to the CPU kernels, autograd, and the exported entry point.
#include <torch/torch.h>
#include <ATen/autocast_mode.h>

#include "../border.h"
#include "../cpu_dispatch.h"
#include "kernel.h"

namespace smalti {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <typename T>
const DeformKernels<T>& kernels() {
#if defined(__x86_64__)
  if constexpr (std::is_same_v<T, double>)
    return best_isa(baseline::deform_f64, avx2::deform_f64, avx512::deform_f64);
  else
    return best_isa(baseline::deform_f32, avx2::deform_f32, avx512::deform_f32);
#else
  if constexpr (std::is_same_v<T, double>)
    return baseline::deform_f64;
  else
    return baseline::deform_f32;
#endif
}

// Heights and widths in turn -> levels with their first row in the flattened value.
std::vector<DeformLevel> levels_of(const std::vector<int64_t>& sizes) {
  std::vector<DeformLevel> levels;
  int64_t start = 0;
  for (size_t i = 0; i + 1 < sizes.size(); i += 2) {
    levels.push_back({sizes[i], sizes[i + 1], start});
    start += sizes[i] * sizes[i + 1];
  }
  return levels;
}

DeformShape shape_of(const at::Tensor& value, const at::Tensor& offsets, const std::vector<DeformLevel>& levels) {
  return {value.size(0),   value.size(1),   offsets.size(1),  value.size(2),   value.size(3),  offsets.size(3),
          offsets.size(4), levels.data(),   value.stride(0),  value.stride(1), value.stride(2)};
}

// Kernels compute in f32 or f64; half types are widened here until they have kernels of their own.
at::ScalarType compute_type(const at::Tensor& value) {
  return value.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

struct Inputs {
  at::Tensor value, reference, offsets, logits;

  Inputs dense(at::ScalarType type) const {
    const auto wide = value.to(type);
    return {wide.stride(3) == 1 ? wide : wide.contiguous(), reference.to(type).contiguous(),
            offsets.to(type).contiguous(), logits.to(type).contiguous()};
  }
};

at::Tensor forward_cpu(const Inputs& given, const std::vector<int64_t>& sizes) {
  TORCH_CHECK(given.value.device().is_cpu(), "ms_deform_attn: no kernel for device ", given.value.device(),
              "; this build runs it on the CPU only");
  const auto type = compute_type(given.value);
  const Inputs in = given.dense(type);
  const auto levels = levels_of(sizes);
  auto out = at::empty({in.value.size(0), in.offsets.size(1), in.value.size(2), in.value.size(3)}, in.value.options());
  auto run = [&](auto zero) {
    using T = decltype(zero);
    const DeformForward<T> args{shape_of(in.value, in.offsets, levels),
                                in.value.const_data_ptr<T>(),
                                in.reference.const_data_ptr<T>(),
                                in.offsets.const_data_ptr<T>(),
                                in.logits.const_data_ptr<T>(),
                                out.mutable_data_ptr<T>()};
    const auto& kernel = kernels<T>();
    parallel(args.shape.batch * args.shape.queries,
             [&](int64_t begin, int64_t end) { kernel.forward(args, begin, end); });
  };
  if (out.numel() > 0) type == at::kDouble ? run(double{}) : run(float{});
  return out.to(given.value.scalar_type());
}

Inputs backward_cpu(const at::Tensor& grad_out, const Inputs& given, const std::vector<int64_t>& sizes) {
  const auto type = compute_type(given.value);
  Inputs in = given.dense(type);
  // A head's positions together: its slice then stays in the cache while all queries read and write it.
  const auto value = in.value.transpose(1, 2).contiguous();  // [B, M, S, D]
  in.value = value.transpose(1, 2);
  const auto levels = levels_of(sizes);
  const auto grad = grad_out.to(type).contiguous();
  auto grad_value = at::zeros_like(value);
  Inputs grads{grad_value.transpose(1, 2), {}, at::zeros_like(in.offsets), at::zeros_like(in.logits)};
  auto run = [&](auto zero) {
    using T = decltype(zero);
    const DeformBackward<T> args{shape_of(in.value, in.offsets, levels),
                                 in.value.const_data_ptr<T>(),
                                 in.reference.const_data_ptr<T>(),
                                 in.offsets.const_data_ptr<T>(),
                                 in.logits.const_data_ptr<T>(),
                                 grad.const_data_ptr<T>(),
                                 grad_value.mutable_data_ptr<T>(),
                                 grads.offsets.mutable_data_ptr<T>(),
                                 grads.logits.mutable_data_ptr<T>()};
    const auto& kernel = kernels<T>();
    parallel(args.shape.batch * args.shape.heads,
             [&](int64_t begin, int64_t end) { kernel.backward(args, begin, end); });
  };
  if (grad.numel() > 0) type == at::kDouble ? run(double{}) : run(float{});
  // A reference point moves all points of its level, by the level's size in pixels.
  std::vector<double> extents;
  for (const auto& level : levels) {
    extents.push_back(static_cast<double>(level.width));
    extents.push_back(static_cast<double>(level.height));
  }
  const auto size = at::tensor(extents, in.offsets.options()).view({-1, 2});
  grads.reference = grads.offsets.sum(at::IntArrayRef{2, 4}).mul(size);  // [B, Q, L, 2]
  return {grads.value.to(given.value.scalar_type()), grads.reference.to(given.reference.scalar_type()),
          grads.offsets.to(given.offsets.scalar_type()), grads.logits.to(given.logits.scalar_type())};
}

struct DeformFunction : torch::autograd::Function<DeformFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& value, const at::Tensor& reference,
                            const at::Tensor& offsets, const at::Tensor& logits, const std::vector<int64_t>& sizes) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    context->save_for_backward({value, reference, offsets, logits});
    context->saved_data["sizes"] = sizes;
    return forward_cpu({value, reference, offsets, logits}, sizes);
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const auto d =
        backward_cpu(grads[0], {saved[0], saved[1], saved[2], saved[3]}, context->saved_data["sizes"].toIntVector());
    return {d.value, d.reference, d.offsets, d.logits, at::Tensor()};
  }
};

}  // namespace
}  // namespace smalti

// `sizes`: heights and widths of the levels in turn, 2 * levels numbers.
extern "C" char* smalti_ms_deform_attn(at::Tensor** out, const at::Tensor* value, const at::Tensor* reference,
                                       const at::Tensor* offsets, const at::Tensor* logits, const int64_t* sizes,
                                       int64_t levels) {
  return smalti::guarded([&] {
    at::Tensor rows = *value;
    // Sampling positions keep their precision inside autocast: half a pixel matters.
    if (at::autocast::is_autocast_enabled(rows.device().type()) && rows.scalar_type() != at::kDouble)
      rows = rows.to(at::autocast::get_autocast_dtype(rows.device().type()));
    *out = new at::Tensor(smalti::DeformFunction::apply(rows, *reference, *offsets, *logits,
                                                        std::vector<int64_t>(sizes, sizes + 2 * levels)));
  });
}
