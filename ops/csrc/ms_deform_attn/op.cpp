// Multi-scale deformable attention as registered operators: schemas, checks, and the dispatch keys that know no device
// (Autograd, Autocast, Meta). The devices register their kernels in launch_cpu.cpp and launch_cuda.cpp.
#include "op.h"

#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "../border.h"
#include "../tensors.h"

namespace smalti::deform {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check(const Inputs& in, at::IntArrayRef sizes) {
  if (in.value.dim() != 4) throw Refusal(kOp, "value", "4 dimensions [B, S, M, D]", c10::str(in.value.sym_sizes()));
  if (in.offsets.dim() != 6)
    throw Refusal(kOp, "offsets", "6 dimensions [B, Q, M, L, P, 2]", c10::str(in.offsets.sym_sizes()));
  const auto level_texts = [&] {
    std::vector<std::string> texts;
    for (size_t i = 0; i + 1 < sizes.size(); i += 2) texts.push_back(c10::str("(", sizes[i], ", ", sizes[i + 1], ")"));
    return c10::str("[", c10::Join(", ", texts), "]");
  };
  int64_t positions = 0;
  bool legal = !sizes.empty() && sizes.size() % 2 == 0;
  for (size_t i = 0; i + 1 < sizes.size(); i += 2) {
    int64_t area;
    legal = legal && sizes[i] > 0 && sizes[i + 1] > 0 && !__builtin_mul_overflow(sizes[i], sizes[i + 1], &area) &&
            !__builtin_add_overflow(positions, area, &positions);
  }
  if (!legal) throw Refusal(kOp, "levels", "one or more sizes of at least 1x1", level_texts());
  if (in.value.sym_size(1) != positions)
    throw Refusal(kOp, "value", c10::str("S = ", positions, " for levels ", level_texts()),
                  c10::str("S = ", in.value.sym_size(1)));
  const auto batch = in.value.sym_size(0), heads = in.value.sym_size(2), head_dim = in.value.sym_size(3);
  const auto queries = in.offsets.sym_size(1), points = in.offsets.sym_size(4);
  const auto levels = static_cast<int64_t>(sizes.size() / 2);
  check_shape(kOp, "offsets", in.offsets, {batch, queries, heads, levels, points, 2}, "[B, Q, M, L, P, 2] = ");
  check_shape(kOp, "reference", in.reference, {batch, queries, levels, 2}, "[B, Q, L, 2] = ");
  check_shape(kOp, "logits", in.logits, {batch, queries, heads, levels * points}, "[B, Q, M, L * P] = ");
  check_type(kOp, "value", in.value);
  for (const auto& [name, t] : {std::pair<const char*, const at::Tensor&>("offsets", in.offsets),
                                {"reference", in.reference},
                                {"logits", in.logits}}) {
    check_type(kOp, name, t);
    check_device(kOp, name, t, "value", in.value);
  }
  if (head_dim < 1 || head_dim > kDeformMaxHeadDim)
    throw Refusal(kOp, "value", c10::str("1 to ", kDeformMaxHeadDim, " channels per head"), c10::str(head_dim));
  if (points < 1 || levels * points > kDeformMaxPoints)
    throw Refusal(kOp, "offsets", c10::str("1 to ", kDeformMaxPoints, " points over all levels"),
                  c10::str(levels * points));
}

std::vector<DeformLevel> levels_of(at::IntArrayRef sizes) {
  std::vector<DeformLevel> levels;
  int64_t start = 0;
  for (size_t i = 0; i + 1 < sizes.size(); i += 2) {
    levels.push_back({sizes[i], sizes[i + 1], start});
    start += sizes[i] * sizes[i + 1];
  }
  return levels;
}

at::Tensor reference_gradient(const at::Tensor& grad_offsets, at::IntArrayRef sizes) {
  std::vector<double> extents;  // width, height of each level
  for (size_t i = 0; i + 1 < sizes.size(); i += 2) {
    extents.push_back(static_cast<double>(sizes[i + 1]));
    extents.push_back(static_cast<double>(sizes[i]));
  }
  const auto size = at::tensor(extents, at::kDouble).to(grad_offsets.options()).view({-1, 2});
  return grad_offsets.sum(at::IntArrayRef{2, 4}).mul(size);
}

Inputs dense(const Inputs& in) {
  const auto type = compute_type(in.value.scalar_type());
  return {channels_dense(in.value), in.reference.to(type).contiguous(), in.offsets.to(type).contiguous(),
          in.logits.to(type).contiguous()};
}

namespace {

template <typename Signature>
c10::TypedOperatorHandle<Signature> find(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

const auto& forward_op() {
  static const auto op = find<Forward>("smalti::ms_deform_attn");
  return op;
}
const auto& backward_op() {
  static const auto op = find<Backward>("smalti::ms_deform_attn_backward");
  return op;
}

struct Function : torch::autograd::Function<Function> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& value, const at::Tensor& reference,
                            const at::Tensor& offsets, const at::Tensor& logits, at::IntArrayRef sizes) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    context->save_for_backward({value, reference, offsets, logits});
    context->saved_data["sizes"] = sizes;
    return forward_op().call(value, reference, offsets, logits, sizes);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto saved = context->get_saved_variables();
    auto [value, reference, offsets, logits] = backward_op().call(grads[0], saved[0], saved[1], saved[2], saved[3],
                                                                  context->saved_data["sizes"].toIntVector());
    return {value, reference, offsets, logits, at::Tensor()};
  }
};

at::Tensor with_gradients(const at::Tensor& value, const at::Tensor& reference, const at::Tensor& offsets,
                          const at::Tensor& logits, at::IntArrayRef sizes) {
  return Function::apply(value, reference, offsets, logits, sizes);
}

// Sampling positions and logits keep their precision: half a pixel matters.
template <c10::DeviceType Device, c10::DispatchKey Key>
at::Tensor with_autocast(const at::Tensor& value, const at::Tensor& reference, const at::Tensor& offsets,
                         const at::Tensor& logits, at::IntArrayRef sizes) {
  c10::impl::ExcludeDispatchKeyGuard no_autocast(Key);
  const auto type = at::autocast::get_autocast_dtype(Device);
  return forward_op().call(at::autocast::cached_cast(type, value, Device), reference, offsets, logits, sizes);
}

at::Tensor meta_forward(const at::Tensor& value, const at::Tensor& reference, const at::Tensor& offsets,
                        const at::Tensor& logits, at::IntArrayRef sizes) {
  check({value, reference, offsets, logits}, sizes);
  return at::empty_symint({value.sym_size(0), offsets.sym_size(1), value.sym_size(2), value.sym_size(3)},
                          value.options());
}

Grads meta_backward(const at::Tensor&, const at::Tensor& value, const at::Tensor& reference, const at::Tensor& offsets,
                    const at::Tensor& logits, at::IntArrayRef) {
  const auto like = [](const at::Tensor& t) { return at::empty_symint(t.sym_sizes(), t.options()); };
  return {like(value), like(reference), like(offsets), like(logits)};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(smalti, library) {
  library.def("ms_deform_attn(Tensor value, Tensor reference, Tensor offsets, Tensor logits, int[] sizes) -> Tensor");
  library.def(
      "ms_deform_attn_backward(Tensor grad_out, Tensor value, Tensor reference, Tensor offsets, Tensor logits, "
      "int[] sizes) -> (Tensor, Tensor, Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(smalti, Autograd, library) {
  library.impl("ms_deform_attn", TORCH_FN(with_gradients));
  // Second derivatives do not exist: asking for them is an error, not a zero.
  library.impl("ms_deform_attn_backward", torch::autograd::autogradNotImplementedFallback());
}

TORCH_LIBRARY_IMPL(smalti, AutocastCPU, library) {
  library.impl("ms_deform_attn", TORCH_FN((with_autocast<at::kCPU, c10::DispatchKey::AutocastCPU>)));
}

TORCH_LIBRARY_IMPL(smalti, AutocastCUDA, library) {
  library.impl("ms_deform_attn", TORCH_FN((with_autocast<at::kCUDA, c10::DispatchKey::AutocastCUDA>)));
}

TORCH_LIBRARY_IMPL(smalti, Meta, library) {
  library.impl("ms_deform_attn", TORCH_FN(meta_forward));
  library.impl("ms_deform_attn_backward", TORCH_FN(meta_backward));
}

}  // namespace smalti::deform

// `sizes`: heights and widths of the levels in turn, 2 * levels numbers.
extern "C" char* smalti_ms_deform_attn(at::Tensor** out, const at::Tensor* value, const at::Tensor* reference,
                                       const at::Tensor* offsets, const at::Tensor* logits, const int64_t* sizes,
                                       int64_t levels) {
  return smalti::guarded([&] {
    const at::IntArrayRef pairs(sizes, 2 * levels);
    smalti::deform::check({*value, *reference, *offsets, *logits}, pairs);
    *out = new at::Tensor(smalti::deform::forward_op().call(*value, *reference, *offsets, *logits, pairs));
  });
}
