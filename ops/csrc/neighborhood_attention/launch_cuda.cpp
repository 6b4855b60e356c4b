// 2D neighborhood attention on CUDA: device, stream and workspace. Deterministic always: the kernels have no atomics.
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include "../cuda/launch.h"
#include "cuda/na2d.h"
#include "launch.h"

namespace smalti::na2d {
namespace {

constexpr auto on_stream = [](const auto& args) { cuda::check(kOp, forward_cuda(args, cuda::stream())); };

at::Tensor attention_cuda(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Bias& bias, Pair window,
                          Pair dilation, double scale) {
  const c10::cuda::CUDAGuard guard(q.device());
  return std::get<0>(run_forward(q, k, v, bias, window, dilation, scale, /*with_lse=*/false, on_stream));
}

std::tuple<at::Tensor, at::Tensor> forward_on_cuda(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                                   const Bias& bias, Pair window, Pair dilation, double scale) {
  const c10::cuda::CUDAGuard guard(q.device());
  return run_forward(q, k, v, bias, window, dilation, scale, /*with_lse=*/true, on_stream);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> backward_on_cuda(
    const at::Tensor& grad_out, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Bias& bias,
    const at::Tensor& out, const at::Tensor& lse, Pair window, Pair dilation, double scale, bool bias_grad) {
  const c10::cuda::CUDAGuard guard(q.device());
  at::Tensor table;
  if (bias_grad) {
    const auto options = q.options().dtype(compute_type(q.scalar_type()));
    table = q.numel() > 0 ? at::empty(bias->sizes(), options) : at::zeros(bias->sizes(), options);
  }
  auto [grad_q, grad_k, grad_v] =
      run_backward(grad_out, q, k, v, bias, out, lse, window, dilation, scale, table, [&](const auto& args) {
        const auto workspace = cuda::workspace(backward_cuda_workspace(args), q);
        cuda::check(kOp, backward_cuda(args, workspace.mutable_data_ptr(), cuda::stream()));
      });
  return {grad_q, grad_k, grad_v, bias_grad ? table.to(bias->scalar_type()) : at::Tensor()};
}

}  // namespace

TORCH_LIBRARY_IMPL(smalti, CUDA, library) {
  library.impl("neighborhood_attention_2d", TORCH_FN(attention_cuda));
  library.impl("neighborhood_attention_2d_forward", TORCH_FN(forward_on_cuda));
  library.impl("neighborhood_attention_2d_backward", TORCH_FN(backward_on_cuda));
}

}  // namespace smalti::na2d
