// Which kernels exist: head dims of whole 16-byte vectors, unrolled over the point counts of common models (3 or 4
// levels of 4 points at 32 channels), and one kernel for all else.
#pragma once

#include <type_traits>

#include "shape.h"

namespace smalti::deform {

// Calls kernel.run<D, Count>().
template <typename T, typename Kernel>
int run_instance(const Kernel& kernel, const Shape& s, bool vectors) {
  if constexpr (!std::is_same_v<T, double>) {
    const int count = s.levels * s.points;
    if (vectors && s.head_dim == 32 && count == 12) return kernel.template run<32, 12>();
    if (vectors && s.head_dim == 32 && count == 16) return kernel.template run<32, 16>();
    if (vectors && s.head_dim == 16) return kernel.template run<16, 0>();
    if (vectors && s.head_dim == 32) return kernel.template run<32, 0>();
    if (vectors && s.head_dim == 64) return kernel.template run<64, 0>();
    if (vectors && s.head_dim == 128) return kernel.template run<128, 0>();
  }
  return kernel.template run<0, 0>();
}

}  // namespace smalti::deform
