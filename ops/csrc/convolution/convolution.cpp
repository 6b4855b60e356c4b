// A convolution and what ends a residual branch, relu(convolution + residual), in one pass: on a CPU in f32, where nothing
// records a graph, oneDNN adds and rectifies what it still has in registers. Everything else is libtorch's ops one by one.
#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include "../border.h"

namespace smalti::convolution {

namespace {

using at::Tensor;
using Scalars = c10::List<std::optional<at::Scalar>>;
using Text = std::optional<std::string_view>;

bool plain(const Tensor& t) { return t.is_cpu() && t.layout() == at::kStrided && t.scalar_type() == at::kFloat; }

// oneDNN adds channels-last maps, and takes one channel or one pixel, whose order is either, for the other.
bool adds(const Tensor& residual) {
  return plain(residual) && residual.dim() == 4 && residual.size(1) > 1 && residual.size(2) * residual.size(3) > 1;
}

bool suits(const Tensor& input, const Tensor& weight, const Tensor& bias, const Tensor& residual) {
  const auto recorded = [](const Tensor& t) { return t.defined() && t.requires_grad(); };
  const bool graph = recorded(input) || recorded(weight) || recorded(bias) || recorded(residual);
  return plain(input) && plain(weight) && plain(bias) && input.dim() == 4 &&
         input.numel() > 0 && (!residual.defined() || adds(residual)) && !(at::GradMode::is_enabled() && graph) && !at::autocast::is_autocast_enabled(at::kCPU) &&
         at::globalContext().userEnabledMkldnn();
}

Tensor convolution_relu(const Tensor& input, const Tensor& weight, const Tensor& bias, int64_t stride, int64_t padding) {
  using Signature = Tensor(const Tensor&, const Tensor&, const std::optional<Tensor>&, at::IntArrayRef, at::IntArrayRef,
                           at::IntArrayRef, int64_t, std::string_view, Scalars, Text);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_convolution_pointwise", "").typed<Signature>();
  return op.call(input, weight, bias, {padding, padding}, {stride, stride}, {1, 1}, 1, "relu", Scalars(), std::nullopt);
}

Tensor convolution_sum_relu(const Tensor& input, const Tensor& weight, const Tensor& bias, const Tensor& residual,
                            int64_t stride, int64_t padding) {
  using Signature = Tensor(const Tensor&, const Tensor&, const Tensor&, const std::optional<Tensor>&, at::IntArrayRef,
                           at::IntArrayRef, at::IntArrayRef, int64_t, std::string_view, std::optional<at::Scalar>, Text,
                           Scalars, Text);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_convolution_pointwise", "binary").typed<Signature>();
  return op.call(input, residual, weight, bias, {padding, padding}, {stride, stride}, {1, 1}, 1, "add", std::nullopt,
                 "relu", Scalars(), std::nullopt);
}

// input [B, C, H, W], weight [C', C, K, K], bias [C'], residual as the output or undefined -> [B, C', H', W']
Tensor forward(const Tensor& input, const Tensor& weight, const Tensor& bias, const Tensor& residual, int64_t stride,
               int64_t padding) {
  if (suits(input, weight, bias, residual)) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    return residual.defined() ? convolution_sum_relu(input, weight, bias, residual, stride, padding)
                              : convolution_relu(input, weight, bias, stride, padding);
  }
  Tensor output = at::conv2d(input, weight, bias, {stride, stride}, {padding, padding});
  if (residual.defined()) output.add_(residual);
  return output.relu_();
}

}  // namespace

}  // namespace smalti::convolution

// `residual`: null for none.
extern "C" char* smalti_conv2d_relu(at::Tensor** out, const at::Tensor* input, const at::Tensor* weight,
                                    const at::Tensor* bias, const at::Tensor* residual, int64_t stride, int64_t padding) {
  return smalti::guarded([&] {
    const at::Tensor sum = residual != nullptr ? *residual : at::Tensor();
    *out = new at::Tensor(smalti::convolution::forward(*input, *weight, *bias, sum, stride, padding));
  });
}
