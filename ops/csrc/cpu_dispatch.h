// What the CPU side of every op shares: the choice of the instruction set and libtorch's own thread pool.
#pragma once

#include <c10/util/Exception.h>
#include <torch/csrc/stable/c/shim.h>

#include <cstdint>

namespace smalti {

// The process may force a slower instruction set for tests: 0 = best available, 1 = baseline, 2 = AVX2.
extern int forced_isa;

#if defined(__x86_64__)
// The best of the three builds of a kernel table that this CPU runs.
template <typename Kernels>
const Kernels& best_isa(const Kernels& baseline, const Kernels& avx2, const Kernels& avx512) {
  const bool has_avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
  if (forced_isa == 0 && has_avx512) return avx512;
  if (forced_isa != 1 && has_avx2) return avx2;
  return baseline;
}
#define SMALTI_BEST_ISA(kernels) ::smalti::best_isa(baseline::kernels, avx2::kernels, avx512::kernels)
#else
#define SMALTI_BEST_ISA(kernels) baseline::kernels
#endif

// Runs body(begin, end) over [0, count) in libtorch's own thread pool (at::parallel_for of a header would bring a
// second pool or run serially, depending on our compile flags).
template <typename Body>
void parallel(int64_t count, const Body& body) {
  auto call = [](int64_t begin, int64_t end, void* context) { (*static_cast<const Body*>(context))(begin, end); };
  TORCH_CHECK(torch_parallel_for(0, count, 1, call, const_cast<Body*>(&body)) == AOTI_TORCH_SUCCESS,
              "the thread pool failed");
}

}  // namespace smalti
