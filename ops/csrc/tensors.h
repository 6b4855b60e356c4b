// What the torch side of every op shares: checks of tensors and the types that kernels know.
#pragma once

#include <ATen/ATen.h>

#include "element.h"
#include "refusal.h"

namespace smalti {

inline bool is_floating_type(at::ScalarType type) {
  return type == at::kFloat || type == at::kDouble || type == at::kBFloat16 || type == at::kHalf;
}

inline void check_type(const char* op, const char* name, const at::Tensor& t) {
  if (!is_floating_type(t.scalar_type()))
    throw Refusal(op, name, "f64, f32, bf16 or f16", c10::toString(t.scalar_type()));
}

// `meaning` says what the expected sizes are, and ends in what joins it to them.
inline void check_shape(const char* op, const char* name, const at::Tensor& t, c10::SymIntArrayRef expected,
                        const char* meaning) {
  if (t.sym_sizes() != expected) throw Refusal(op, name, c10::str(meaning, expected), c10::str(t.sym_sizes()));
}

inline void check_device(const char* op, const char* name, const at::Tensor& t, const char* other_name,
                         const at::Tensor& other) {
  if (t.device() != other.device())
    throw Refusal(op, name, c10::str("the device of ", other_name, ", ", other.device()), c10::str(t.device()));
}

// The type of the arithmetic for tensors of `type`; see ComputeOf.
inline at::ScalarType compute_type(at::ScalarType type) { return type == at::kDouble ? at::kDouble : at::kFloat; }

// Kernels need contiguous channels; other strides are free, so views of a packed qkv projection are not copied.
inline at::Tensor channels_dense(const at::Tensor& t) {
  return t.stride(-1) == 1 || t.size(-1) == 1 ? t : t.contiguous();
}

// Calls body with a value of the kernels' element type: body(float{}), body(bf16{}), ...
template <typename Body>
void for_type(at::ScalarType type, const Body& body) {
  switch (type) {
    case at::kDouble: return body(double{});
    case at::kFloat: return body(float{});
    case at::kBFloat16: return body(bf16{});
    case at::kHalf: return body(f16{});
    default: TORCH_CHECK(false, "no kernel for ", type);
  }
}

template <typename T>
const T* data(const at::Tensor& t) {
  return t.defined() ? static_cast<const T*>(t.const_data_ptr()) : nullptr;
}
template <typename T>
T* mutable_data(const at::Tensor& t) {
  return t.defined() ? static_cast<T*>(t.mutable_data_ptr()) : nullptr;
}

}  // namespace smalti
