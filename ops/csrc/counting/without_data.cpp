// A mode of the thread in which tensors are made on the meta device, whatever device is named: networks are built and run for
// their shapes, with no memory and no arithmetic. Its dispatch key is the one that libtorch keeps for such modes outside of it.
//
// libtorch's own shape functions for the ops below are written in Python; here they are in C++, for this mode alone.
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/library.h>

#include "../border.h"

namespace smalti::without_data {

namespace {

constexpr auto kMode = c10::DispatchKey::DeferredInit;

void on_meta(const c10::OperatorHandle& op, c10::DispatchKeySet keys, torch::jit::Stack* stack) {
  const auto inputs = op.schema().arguments().size();
  for (auto value = stack->end() - static_cast<std::ptrdiff_t>(inputs); value != stack->end(); ++value)
    if (value->isDevice()) *value = c10::Device(c10::kMeta);
  op.redispatchBoxed(keys & c10::DispatchKeySet(c10::DispatchKeySet::FULL_AFTER, kMode), stack);
}

using Optional = std::optional<at::Tensor>;

// In the order of memory of `x`, as libtorch's own: what follows would otherwise copy where it need not, or not where it must.
at::Tensor like(const at::Tensor& x, at::IntArrayRef size) {
  return at::empty(size, x.options(), size.size() == 4 ? x.suggest_memory_format() : at::MemoryFormat::Contiguous);
}

// [B, C, ...] -> [B, C', ...]
at::Tensor convolution(const at::Tensor& input, const at::Tensor& weight, const Optional&, at::IntArrayRef stride,
                       at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed,
                       at::IntArrayRef output_padding, int64_t groups) {
  const auto of_axis = [](at::IntArrayRef list, size_t axis) { return list[list.size() == 1 ? 0 : axis]; };
  const auto channels = transposed ? weight.size(0) : weight.size(1) * groups;
  TORCH_CHECK(input.dim() == weight.dim() && input.size(1) == channels, "convolution: expected an input of ", channels,
              " channels, got ", input.sizes());
  std::vector<int64_t> size = {input.size(0), transposed ? weight.size(1) * groups : weight.size(0)};
  for (int64_t axis = 0; axis < input.dim() - 2; ++axis) {
    const auto reach = of_axis(dilation, axis) * (weight.size(axis + 2) - 1), pad = 2 * of_axis(padding, axis);
    const auto step = of_axis(stride, axis), length = input.size(axis + 2);
    size.push_back(transposed ? (length - 1) * step - pad + reach + of_axis(output_padding, axis) + 1
                              : (length + pad - reach - 1) / step + 1);
  }
  // While it works, oneDNN holds maps that lie channels-first, and the weights, in an order of its own too.
  at::Tensor map, kernel;
  if (input.dim() == 4 && !input.is_contiguous(at::MemoryFormat::ChannelsLast)) {
    map = like(input, input.sizes());
    kernel = like(weight, weight.sizes());
  }
  return like(input, size);
}

at::Tensor layer_norm(const at::Tensor& input, at::IntArrayRef, const Optional&, const Optional&, double, bool) {
  return like(input, input.sizes());
}

at::Tensor batch_norm(const at::Tensor& input, const Optional&, const Optional&, const Optional&, const Optional&, bool,
                      double, double, bool) {
  return like(input, input.sizes());
}

at::Tensor group_norm(const at::Tensor& input, int64_t, const Optional&, const Optional&, double, bool) {
  return like(input, input.sizes());
}

at::Tensor relu(const at::Tensor& self) { return like(self, self.sizes()); }

at::Tensor roll(const at::Tensor& self, at::IntArrayRef, at::IntArrayRef) { return like(self, self.sizes()); }

at::Tensor flip(const at::Tensor& self, at::IntArrayRef) { return like(self, self.sizes()); }

at::Tensor index_select(const at::Tensor& self, int64_t dim, const at::Tensor& index) {
  auto size = self.sizes().vec();
  size.at(dim < 0 ? dim + self.dim() : dim) = index.numel();
  return like(self, size);
}

at::Tensor dot(const at::Tensor& self, const at::Tensor&) { return like(self, {}); }

// [B, C, ...] -> [B, C, h, w]
at::Tensor adaptive_avg_pool2d(const at::Tensor& self, at::IntArrayRef output_size) {
  auto size = self.sizes().vec();
  std::copy(output_size.begin(), output_size.end(), size.end() - 2);
  return like(self, size);
}

// input [B, C, H, W], grid [B, h, w, 2] -> [B, C, h, w]
at::Tensor grid_sampler(const at::Tensor& input, const at::Tensor& grid, int64_t, int64_t, bool) {
  return like(input, {input.size(0), input.size(1), grid.size(1), grid.size(2)});
}

// query [..., N, D], value [..., S, D'] -> [..., N, D']
at::Tensor attention(const at::Tensor& query, const at::Tensor&, const at::Tensor& value, const Optional&, double, bool,
                     std::optional<double>, bool) {
  auto size = query.sizes().vec();
  size.back() = value.size(-1);
  return like(query, size);
}

}  // namespace

TORCH_LIBRARY_IMPL(_, DeferredInit, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&on_meta>());
}

TORCH_LIBRARY_IMPL(aten, DeferredInit, library) {
  library.impl("convolution", TORCH_FN(convolution));
  library.impl("layer_norm", TORCH_FN(layer_norm));
  library.impl("batch_norm", TORCH_FN(batch_norm));
  library.impl("group_norm", TORCH_FN(group_norm));
  library.impl("relu", TORCH_FN(relu));
  library.impl("roll", TORCH_FN(roll));
  library.impl("flip", TORCH_FN(flip));
  library.impl("index_select", TORCH_FN(index_select));
  library.impl("dot", TORCH_FN(dot));
  library.impl("adaptive_avg_pool2d", TORCH_FN(adaptive_avg_pool2d));
  library.impl("grid_sampler", TORCH_FN(grid_sampler));
  library.impl("scaled_dot_product_attention", TORCH_FN(attention));
}

}  // namespace smalti::without_data

// Enters or leaves the mode on this thread and reports whether it was on before.
extern "C" char* smalti_without_data(int on, int* was_on) {
  using smalti::without_data::kMode;
  return smalti::guarded([&] {
    *was_on = c10::impl::tls_is_dispatch_key_included(kMode) ? 1 : 0;
    c10::impl::tls_set_dispatch_key_included(kMode, on != 0);
  });
}
