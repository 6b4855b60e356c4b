// Element types of tensors in kernels that know no torch headers. Half types are storage only: kernels compute in f32.
#pragma once

#include <cstdint>

namespace smalti {

struct bf16 {
  uint16_t bits;
};
struct f16 {
  uint16_t bits;
};

// The type that a kernel computes in.
template <typename T>
struct ComputeOf {
  using type = float;
};
template <>
struct ComputeOf<double> {
  using type = double;
};
template <typename T>
using Compute = typename ComputeOf<T>::type;

}  // namespace smalti
