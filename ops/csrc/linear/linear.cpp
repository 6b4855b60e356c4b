// Linear layers in f32 on a CPU by oneDNN's products instead of MKL's, which libtorch takes: on AMD's cores MKL reaches half of
// the rate (docs/benchmarks.md). Not measured on Intel's.
//
// Registered for libtorch's own `aten::linear`, so that every model has it without asking. Other types, devices, and products
// too small to repay the way there go to libtorch's code.
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/linear_native.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

namespace smalti::linear {

namespace {

using at::Tensor;
using Bias = std::optional<Tensor>;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Below this many multiply-adds a call costs more than it gains.
constexpr int64_t kLeastWork = 6 << 20;
// A weight's gradient sums over rows: with fewer than this, bringing its operands into order costs more.
constexpr int64_t kLeastRows = 256;

bool is_defined(const Bias& bias) { return bias.has_value() && bias->defined(); }

bool plain(const Tensor& t) { return t.is_cpu() && t.layout() == at::kStrided && t.scalar_type() == at::kFloat; }

bool suits(const Tensor& input, const Tensor& weight, const Bias& bias) {
  return plain(input) && plain(weight) && (!is_defined(bias) || (plain(*bias) && bias->dim() == 1)) && input.dim() > 0 &&
         weight.dim() == 2 && input.size(-1) == weight.size(1) && (!is_defined(bias) || bias->size(0) == weight.size(0)) &&
         input.numel() * weight.size(0) >= kLeastWork && at::globalContext().userEnabledMkldnn();
}

// a [N, K] x b^T [M, K] + bias -> [N, M]; transposes are read in place.
Tensor product(const Tensor& a, const Tensor& b, const Bias& bias) {
  using Signature = Tensor(const Tensor&, const Tensor&, const Bias&, std::string_view,
                           c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_linear_pointwise", "").typed<Signature>();
  at::AutoDispatchBelowADInplaceOrView below_autograd;
  return op.call(a, b, bias, "none", c10::List<std::optional<at::Scalar>>(), std::nullopt);
}

// a [N, M], b [N, K] -> a^T b [M, K]; the narrower operand comes first, since the first is the dearer one to transpose.
Tensor sum_over_rows(const Tensor& a, const Tensor& b) {
  if (a.size(0) < kLeastRows) return a.t().mm(b);
  const Tensor left = a.contiguous().t(), right = b.contiguous().t();
  return left.size(0) <= right.size(0) ? product(left, right, {}) : product(right, left, {}).t().contiguous();
}

// input [..., K], weight [M, K] -> [..., M]
Tensor forward(const Tensor& input, const Tensor& weight, const Bias& bias) {
  return product(input.contiguous(), weight.contiguous(), bias);
}

Tensor plain_linear(const Tensor& input, const Tensor& weight, const Bias& bias) {
  return suits(input, weight, bias) ? forward(input, weight, bias) : at::native::linear(input, weight, bias);
}

struct Function : torch::autograd::Function<Function> {
  static Tensor forward(AutogradContext* context, const Tensor& input, const Tensor& weight, const Bias& bias) {
    context->save_for_backward({input, weight});
    context->saved_data["bias"] = is_defined(bias);
    return linear::forward(input, weight, bias);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const Tensor &input = saved[0], &weight = saved[1];
    const Tensor rows = grads[0].reshape({-1, weight.size(0)});  // [N, M]
    const Tensor inputs = input.reshape({-1, weight.size(1)});   // [N, K]
    const bool twice = at::GradMode::is_enabled();               // a graph of the backward pass is wanted
    Tensor input_grad, weight_grad, bias_grad;
    if (context->needs_input_grad(0)) {
      const Tensor grad = twice ? rows.matmul(weight) : product(rows.contiguous(), weight.contiguous().t(), {});
      input_grad = grad.reshape(input.sizes());
    }
    if (context->needs_input_grad(1)) weight_grad = twice ? rows.t().matmul(inputs) : sum_over_rows(rows, inputs);
    if (context->saved_data["bias"].toBool() && context->needs_input_grad(2)) bias_grad = rows.sum(0);
    return {input_grad, weight_grad, bias_grad};
  }
};

Tensor with_gradients(const Tensor& input, const Tensor& weight, const Bias& bias) {
  if (!suits(input, weight, bias)) return at::native::linear(input, weight, bias);
  const bool graph = input.requires_grad() || weight.requires_grad() || (is_defined(bias) && bias->requires_grad());
  if (at::GradMode::is_enabled() && graph) return Function::apply(input, weight, bias);
  return forward(input, weight, bias);
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, CPU, library) { library.impl("linear", TORCH_FN(plain_linear)); }

TORCH_LIBRARY_IMPL(aten, AutogradCPU, library) { library.impl("linear", TORCH_FN(with_gradients)); }

}  // namespace smalti::linear
