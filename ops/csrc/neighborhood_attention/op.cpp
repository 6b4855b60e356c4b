// 2D neighborhood attention: dispatch to the CPU kernels, autograd, and the exported entry point.
#include <torch/torch.h>
#include <ATen/autocast_mode.h>

#include "../border.h"
#include "../cpu_dispatch.h"
#include "na2d_kernel.h"
#include "window.h"

namespace smalti {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Geometry {
  int64_t window_y, window_x, dilation_y, dilation_x;
  double scale;
};

template <typename T>
const Na2dKernels<T>& kernels() {
#if defined(__x86_64__)
  if constexpr (std::is_same_v<T, double>)
    return best_isa(baseline::f64, avx2::f64, avx512::f64);
  else
    return best_isa(baseline::f32, avx2::f32, avx512::f32);
#else
  if constexpr (std::is_same_v<T, double>)
    return baseline::f64;
  else
    return baseline::f32;
#endif
}

Strides strides_of(const at::Tensor& t) { return {t.stride(0), t.stride(1), t.stride(2), t.stride(3)}; }

// Kernels need contiguous channels; other strides are free, so views of a packed qkv projection are not copied.
at::Tensor channels_dense(const at::Tensor& t) { return t.stride(4) == 1 || t.size(4) == 1 ? t : t.contiguous(); }

std::vector<AxisWindow> axis_windows(int64_t size, int64_t window, int64_t dilation) {
  std::vector<AxisWindow> windows(size);
  for (int64_t position = 0; position < size; ++position)
    windows[position] = axis_window(position, size, window, dilation);
  return windows;
}

Na2dShape shape_of(const at::Tensor& q, const Geometry& g, const std::vector<AxisWindow>& rows,
                   const std::vector<AxisWindow>& columns) {
  return {q.size(0),  q.size(1),  q.size(2),    q.size(3),    q.size(4),   g.window_y,
          g.window_x, g.dilation_y, g.dilation_x, rows.data(), columns.data()};
}

// Kernels compute in f32 or f64; half types are widened here until they have kernels of their own.
at::ScalarType compute_type(const at::Tensor& q) { return q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }

// q, k, v [B, H, W, M, D], bias [M, 2Ky-1, 2Kx-1] or undefined -> out [B, H, W, M, D], lse [B, H, W, M].
std::pair<at::Tensor, at::Tensor> na2d_forward(at::Tensor q, at::Tensor k, at::Tensor v, at::Tensor bias, const Geometry& g) {
  TORCH_CHECK(q.device().is_cpu(), "neighborhood_attention_2d: no kernel for device ", q.device(),
              "; this build runs it on the CPU only");
  const auto type = compute_type(q), given = q.scalar_type();
  q = channels_dense(q.to(type)), k = channels_dense(k.to(type)), v = channels_dense(v.to(type));
  if (bias.defined()) bias = bias.to(type).contiguous();
  auto out = at::empty(q.sizes(), q.options());
  auto lse = at::empty({q.size(0), q.size(1), q.size(2), q.size(3)}, q.options());
  const auto rows = axis_windows(q.size(1), g.window_y, g.dilation_y);
  const auto columns = axis_windows(q.size(2), g.window_x, g.dilation_x);
  auto run = [&](auto zero) {
    using T = decltype(zero);
    const Na2dForward<T> args{shape_of(q, g, rows, columns),
                              static_cast<T>(g.scale),
                              q.const_data_ptr<T>(),
                              k.const_data_ptr<T>(),
                              v.const_data_ptr<T>(),
                              strides_of(q),
                              strides_of(k),
                              strides_of(v),
                              bias.defined() ? bias.const_data_ptr<T>() : nullptr,
                              out.mutable_data_ptr<T>(),
                              lse.mutable_data_ptr<T>()};
    const auto& kernel = kernels<T>();
    parallel(q.size(0) * q.size(1), [&](int64_t begin, int64_t end) { kernel.forward(args, begin, end); });
  };
  if (q.numel() > 0) type == at::kDouble ? run(double{}) : run(float{});
  return {out.to(given), lse};
}

struct Na2dGrads {
  at::Tensor q, k, v, bias;
};

Na2dGrads na2d_backward(const at::Tensor& grad_out, at::Tensor q, at::Tensor k, at::Tensor v, at::Tensor bias,
                        const at::Tensor& out, const at::Tensor& lse, bool bias_needs_grad, const Geometry& g) {
  const auto type = compute_type(q), given = q.scalar_type();
  q = channels_dense(q.to(type)), k = channels_dense(k.to(type)), v = channels_dense(v.to(type));
  const auto table = bias.defined() ? bias.to(type).contiguous() : at::Tensor();
  const auto out_dense = out.to(type).contiguous(), grad_dense = grad_out.to(type).contiguous();
  auto grad_q = at::empty(q.sizes(), q.options());
  auto grad_k = at::zeros(q.sizes(), q.options()), grad_v = at::zeros(q.sizes(), q.options());
  const int64_t classes = g.dilation_y * g.dilation_x, batch = q.size(0), heads = q.size(3);
  at::Tensor parts;
  if (bias_needs_grad) parts = at::zeros({batch, heads, classes, 2 * g.window_y - 1, 2 * g.window_x - 1}, q.options());
  const auto rows = axis_windows(q.size(1), g.window_y, g.dilation_y);
  const auto columns = axis_windows(q.size(2), g.window_x, g.dilation_x);
  auto run = [&](auto zero) {
    using T = decltype(zero);
    const Na2dBackward<T> args{shape_of(q, g, rows, columns),
                               static_cast<T>(g.scale),
                               q.const_data_ptr<T>(),
                               k.const_data_ptr<T>(),
                               v.const_data_ptr<T>(),
                               strides_of(q),
                               strides_of(k),
                               strides_of(v),
                               table.defined() ? table.const_data_ptr<T>() : nullptr,
                               lse.const_data_ptr<T>(),
                               out_dense.const_data_ptr<T>(),
                               grad_dense.const_data_ptr<T>(),
                               grad_q.mutable_data_ptr<T>(),
                               grad_k.mutable_data_ptr<T>(),
                               grad_v.mutable_data_ptr<T>(),
                               parts.defined() ? parts.mutable_data_ptr<T>() : nullptr};
    const auto& kernel = kernels<T>();
    parallel(batch * heads * classes, [&](int64_t begin, int64_t end) { kernel.backward(args, begin, end); });
  };
  if (q.numel() > 0) type == at::kDouble ? run(double{}) : run(float{});
  const auto grad_bias = parts.defined() ? parts.sum(at::IntArrayRef{0, 2}).to(bias.scalar_type()) : at::Tensor();
  return {grad_q.to(given), grad_k.to(given), grad_v.to(given), grad_bias};
}

struct Na2dFunction : torch::autograd::Function<Na2dFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const std::optional<at::Tensor>& bias, const Geometry& g) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    const at::Tensor table = bias.value_or(at::Tensor());
    auto [out, lse] = na2d_forward(q, k, v, table, g);
    context->save_for_backward({q, k, v, table, out, lse});
    context->saved_data["geometry"] =
        std::vector<int64_t>{g.window_y, g.window_x, g.dilation_y, g.dilation_x};
    context->saved_data["scale"] = g.scale;
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const auto sizes = context->saved_data["geometry"].toIntVector();
    const Geometry g{sizes[0], sizes[1], sizes[2], sizes[3], context->saved_data["scale"].toDouble()};
    const bool bias_needs_grad = saved[3].defined() && context->needs_input_grad(3);
    auto d = na2d_backward(grads[0], saved[0], saved[1], saved[2], saved[3], saved[4], saved[5], bias_needs_grad, g);
    return {d.q, d.k, d.v, d.bias, at::Tensor()};
  }
};

}  // namespace
}  // namespace smalti

extern "C" char* smalti_na2d(at::Tensor** out, const at::Tensor* q, const at::Tensor* k, const at::Tensor* v,
                             const at::Tensor* bias, int64_t window_y, int64_t window_x, int64_t dilation_y,
                             int64_t dilation_x, double scale) {
  return smalti::guarded([&] {
    const smalti::Geometry g{window_y, window_x, dilation_y, dilation_x, scale};
    at::Tensor query = *q, key = *k, value = *v;
    if (at::autocast::is_autocast_enabled(query.device().type()) && query.scalar_type() != at::kDouble) {
      const auto type = at::autocast::get_autocast_dtype(query.device().type());
      query = query.to(type), key = key.to(type), value = value.to(type);
    }
    const auto table = bias == nullptr ? std::optional<at::Tensor>() : std::optional<at::Tensor>(*bias);
    *out = new at::Tensor(smalti::Na2dFunction::apply(query, key, value, table, g));
  });
}
