// What tch does not offer of libtorch's run time: generator state, autocast on any device, the fused optimiser step,
// denormals, and facts for `smalti doctor`.
#include <torch/torch.h>
#include <torch/version.h>
#include <ATen/Context.h>
#include <ATen/Version.h>
#include <ATen/autocast_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_fused_adamw.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "../border.h"
#include "generator.h"

using smalti::guarded;

namespace {

at::Device device_of(int64_t cuda_index) {
  return cuda_index < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(cuda_index));
}

std::vector<at::Tensor> tensors(at::Tensor* const* list, int64_t count) {
  std::vector<at::Tensor> result;
  result.reserve(count);
  for (int64_t i = 0; i < count; ++i) result.push_back(*list[i]);
  return result;
}

}  // namespace

extern "C" {

void smalti_free_message(char* message) { free(message); }

char* smalti_generator_state(at::Tensor** out, int64_t cuda_index) {
  return guarded([&] { *out = new at::Tensor(smalti::generator_state(device_of(cuda_index))); });
}

char* smalti_set_generator_state(const at::Tensor* state, int64_t cuda_index) {
  return guarded([&] { smalti::set_generator_state(device_of(cuda_index), *state); });
}

// Turns bf16 autocast on or off on this thread and reports what was set before.
char* smalti_autocast(int cuda, int enable, int* was_enabled) {
  return guarded([&] {
    const auto device = cuda != 0 ? at::kCUDA : at::kCPU;
    *was_enabled = at::autocast::is_autocast_enabled(device) ? 1 : 0;
    at::autocast::set_autocast_enabled(device, enable != 0);
    if (enable != 0) at::autocast::set_autocast_dtype(device, at::kBFloat16);
    at::autocast::clear_cache();
  });
}

// One AdamW step over a group of parameters with equal hyper-parameters; every list has `count` entries.
char* smalti_fused_adamw(int64_t count, at::Tensor* const* parameters, at::Tensor* const* gradients,
                         at::Tensor* const* first_moments, at::Tensor* const* second_moments, at::Tensor* const* steps,
                         double rate, double beta1, double beta2, double decay, double epsilon) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    // The kernel reads the step for its bias correction but leaves counting to its caller.
    auto counters = tensors(steps, count);
    at::_foreach_add_(counters, 1);
    at::_fused_adamw_(tensors(parameters, count), tensors(gradients, count), tensors(first_moments, count),
                      tensors(second_moments, count), {}, counters, rate, beta1, beta2, decay, epsilon,
                      /*amsgrad=*/false, /*maximize=*/false);
  });
}

// Shape, strides and type of a tensor without its data.
char* smalti_to_meta(at::Tensor** out, const at::Tensor* tensor) {
  return guarded([&] { *out = new at::Tensor(tensor->to(at::kMeta)); });
}

void smalti_set_deterministic(int on) { at::globalContext().setDeterministicAlgorithms(on != 0, /*warn_only=*/false); }

// Gives freed memory back to the operating system, where the C library keeps it.
void smalti_release_freed_memory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

// MXCSR is per thread and inherited by threads started later: call before any parallel work.
int smalti_flush_denormals(int on) { return at::globalContext().setFlushDenormal(on != 0) ? 1 : 0; }

char* smalti_runtime_facts(char** version, char** capability) {
  return guarded([&] {
    *version = strdup(TORCH_VERSION);
    *capability = strdup(at::get_cpu_capability().c_str());
  });
}

}  // extern "C"
