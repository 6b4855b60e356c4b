// Multi-scale deformable attention on CUDA: device, stream, workspace, and the choice between the fast gradient of the value
// and the deterministic one by libtorch's flag for deterministic algorithms.
#include <ATen/Context.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include "../cuda/launch.h"
#include "cuda/deform.h"
#include "launch.h"

namespace smalti::deform {
namespace {

at::Tensor forward_on_cuda(const at::Tensor& value, const at::Tensor& reference, const at::Tensor& offsets,
                           const at::Tensor& logits, at::IntArrayRef sizes) {
  const c10::cuda::CUDAGuard guard(value.device());
  return run_forward({value, reference, offsets, logits}, sizes,
                     [](const auto& args) { cuda::check(kOp, forward_cuda(args, cuda::stream())); });
}

Grads backward_on_cuda(const at::Tensor& grad_out, const at::Tensor& value, const at::Tensor& reference,
                       const at::Tensor& offsets, const at::Tensor& logits, at::IntArrayRef sizes) {
  const c10::cuda::CUDAGuard guard(value.device());
  const auto how = at::globalContext().deterministicAlgorithms() ? ValueGradient::kDeterministic : ValueGradient::kFast;
  return run_backward(grad_out, {value, reference, offsets, logits}, sizes, [&](const auto& args) {
    const auto workspace = cuda::workspace(backward_cuda_workspace(args, how), value);
    cuda::check(kOp, backward_cuda(args, how, workspace.mutable_data_ptr(), cuda::stream()));
  });
}

}  // namespace

TORCH_LIBRARY_IMPL(smalti, CUDA, library) {
  library.impl("ms_deform_attn", TORCH_FN(forward_on_cuda));
  library.impl("ms_deform_attn_backward", TORCH_FN(backward_on_cuda));
}

}  // namespace smalti::deform
