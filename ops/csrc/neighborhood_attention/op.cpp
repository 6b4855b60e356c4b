// 2D neighborhood attention as registered operators: schemas, checks, and the dispatch keys that know no device (Autograd,
// Autocast, Meta). The devices register their kernels in launch_cpu.cpp and launch_cuda.cpp.
#include "op.h"

#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "../border.h"
#include "../tensors.h"

namespace smalti::na2d {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

// Saturates: a caller's dilation may be as large as the integers.
int64_t least_size(int64_t window, int64_t dilation) {
  int64_t product;
  return __builtin_mul_overflow(window, dilation, &product) ? INT64_MAX : product;
}

}  // namespace

void check(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Bias& bias, Pair window, Pair dilation) {
  if (q.dim() != 5) throw Refusal(kOp, "q", "5 dimensions [B, H, W, M, D]", c10::str(q.sym_sizes()));
  check_type(kOp, "q", q);
  for (const auto& [name, t] : {std::pair<const char*, const at::Tensor&>("k", k), {"v", v}}) {
    check_shape(kOp, name, t, q.sym_sizes(), "the shape of q, ");
    if (t.scalar_type() != q.scalar_type())
      throw Refusal(kOp, name, c10::str("the dtype of q, ", q.scalar_type()), c10::toString(t.scalar_type()));
    check_device(kOp, name, t, "q", q);
  }
  const auto head_dim = q.sym_size(4);
  if (head_dim < 1 || head_dim > kMaxHeadDim)
    throw Refusal(kOp, "q", c10::str("1 to ", kMaxHeadDim, " channels per head"), c10::str(head_dim));
  for (const int axis : {0, 1}) {
    if (window[axis] % 2 != 1 || window[axis] < 1 || window[axis] > kMaxWindow)
      throw Refusal(kOp, "window", c10::str("odd sizes from 1 to ", kMaxWindow), c10::str(window[axis]));
    if (dilation[axis] < 1) throw Refusal(kOp, "dilation", "1 or more", c10::str(dilation[axis]));
  }
  const auto height = q.sym_size(1), width = q.sym_size(2);
  const auto least_height = least_size(window[0], dilation[0]), least_width = least_size(window[1], dilation[1]);
  if (height < least_height || width < least_width)
    throw Refusal(kOp, "q", c10::str("a map of at least window * dilation = ", least_height, "x", least_width),
                  c10::str(height, "x", width));
  if (bias.has_value() && bias->defined()) {
    check_type(kOp, "bias", *bias);
    check_shape(kOp, "bias", *bias, {q.sym_size(3), 2 * window[0] - 1, 2 * window[1] - 1}, "[heads, 2 Ky - 1, 2 Kx - 1] = ");
    check_device(kOp, "bias", *bias, "q", q);
  }
}

namespace {

template <typename Signature>
c10::TypedOperatorHandle<Signature> find(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

const auto& attention_op() {
  static const auto op = find<decltype(attention)>("smalti::neighborhood_attention_2d");
  return op;
}
const auto& forward_op() {
  static const auto op = find<Forward>("smalti::neighborhood_attention_2d_forward");
  return op;
}
const auto& backward_op() {
  static const auto op = find<Backward>("smalti::neighborhood_attention_2d_backward");
  return op;
}

struct Function : torch::autograd::Function<Function> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const Bias& bias, Pair window, Pair dilation, double scale) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    auto [out, lse] = forward_op().call(q, k, v, bias, window, dilation, scale);
    context->save_for_backward({q, k, v, bias.value_or(at::Tensor()), out, lse});
    context->saved_data["window"] = window;
    context->saved_data["dilation"] = dilation;
    context->saved_data["scale"] = scale;
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const Bias bias = saved[3].defined() ? Bias(saved[3]) : Bias();
    auto [q, k, v, table] = backward_op().call(
        grads[0], saved[0], saved[1], saved[2], bias, saved[4], saved[5], context->saved_data["window"].toIntVector(),
        context->saved_data["dilation"].toIntVector(), context->saved_data["scale"].toDouble(),
        bias.has_value() && context->needs_input_grad(3));
    return {q, k, v, table, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

at::Tensor with_gradients(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Bias& bias, Pair window,
                          Pair dilation, double scale) {
  const auto wants = [](const at::Tensor& t) { return t.defined() && t.requires_grad(); };
  if (at::GradMode::is_enabled() && (wants(q) || wants(k) || wants(v) || wants(bias.value_or(at::Tensor()))))
    return Function::apply(q, k, v, bias, window, dilation, scale);
  at::AutoDispatchBelowADInplaceOrView below_autograd;
  return attention_op().call(q, k, v, bias, window, dilation, scale);
}

// The table stays as it is: kernels add it in their own precision.
template <c10::DeviceType Device, c10::DispatchKey Key>
at::Tensor with_autocast(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Bias& bias, Pair window,
                         Pair dilation, double scale) {
  c10::impl::ExcludeDispatchKeyGuard no_autocast(Key);
  const auto type = at::autocast::get_autocast_dtype(Device);
  const auto cast = [&](const at::Tensor& t) { return at::autocast::cached_cast(type, t, Device); };
  return attention_op().call(cast(q), cast(k), cast(v), bias, window, dilation, scale);
}

std::tuple<at::Tensor, at::Tensor> meta_forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                                const Bias& bias, Pair window, Pair dilation, double) {
  check(q, k, v, bias, window, dilation);
  return {at::empty_symint(q.sym_sizes(), q.options()),
          at::empty_symint(q.sym_sizes().slice(0, 4), q.options().dtype(compute_type(q.scalar_type())))};
}

at::Tensor meta_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Bias& bias, Pair window,
                          Pair dilation, double scale) {
  return std::get<0>(meta_forward(q, k, v, bias, window, dilation, scale));
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> meta_backward(const at::Tensor&, const at::Tensor& q,
                                                                         const at::Tensor&, const at::Tensor&,
                                                                         const Bias& bias, const at::Tensor&,
                                                                         const at::Tensor&, Pair, Pair, double,
                                                                         bool bias_grad) {
  const auto like_q = [&] { return at::empty_symint(q.sym_sizes(), q.options()); };
  return {like_q(), like_q(), like_q(), bias_grad ? at::empty_like(*bias) : at::Tensor()};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(smalti, library) {
  library.def(
      "neighborhood_attention_2d(Tensor q, Tensor k, Tensor v, Tensor? bias, int[2] window, int[2] dilation, "
      "float scale) -> Tensor");
  library.def(
      "neighborhood_attention_2d_forward(Tensor q, Tensor k, Tensor v, Tensor? bias, int[2] window, int[2] dilation, "
      "float scale) -> (Tensor out, Tensor lse)");
  library.def(
      "neighborhood_attention_2d_backward(Tensor grad_out, Tensor q, Tensor k, Tensor v, Tensor? bias, Tensor out, "
      "Tensor lse, int[2] window, int[2] dilation, float scale, bool bias_grad) -> (Tensor, Tensor, Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(smalti, Autograd, library) {
  library.impl("neighborhood_attention_2d", TORCH_FN(with_gradients));
  // Second derivatives do not exist: asking for them is an error, not a zero.
  library.impl("neighborhood_attention_2d_forward", torch::autograd::autogradNotImplementedFallback());
  library.impl("neighborhood_attention_2d_backward", torch::autograd::autogradNotImplementedFallback());
}

TORCH_LIBRARY_IMPL(smalti, AutocastCPU, library) {
  library.impl("neighborhood_attention_2d", TORCH_FN((with_autocast<at::kCPU, c10::DispatchKey::AutocastCPU>)));
}

TORCH_LIBRARY_IMPL(smalti, AutocastCUDA, library) {
  library.impl("neighborhood_attention_2d", TORCH_FN((with_autocast<at::kCUDA, c10::DispatchKey::AutocastCUDA>)));
}

TORCH_LIBRARY_IMPL(smalti, Meta, library) {
  library.impl("neighborhood_attention_2d", TORCH_FN(meta_attention));
  library.impl("neighborhood_attention_2d_forward", TORCH_FN(meta_forward));
  library.impl("neighborhood_attention_2d_backward", TORCH_FN(meta_backward));
}

}  // namespace smalti::na2d

// `window` and `dilation`: y, x.
extern "C" char* smalti_na2d(at::Tensor** out, const at::Tensor* q, const at::Tensor* k, const at::Tensor* v,
                             const at::Tensor* bias, const int64_t* window, const int64_t* dilation, double scale) {
  return smalti::guarded([&] {
    const auto table = bias == nullptr ? smalti::na2d::Bias() : smalti::na2d::Bias(*bias);
    const at::IntArrayRef window_pair(window, 2), dilation_pair(dilation, 2);
    smalti::na2d::check(*q, *k, *v, table, window_pair, dilation_pair);
    *out = new at::Tensor(
        smalti::na2d::attention_op().call(*q, *k, *v, table, window_pair, dilation_pair, scale));
  });
}
