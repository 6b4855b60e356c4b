// The state of a device's random generator, the default one, read and set under its lock.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Context.h>

#include <mutex>

namespace smalti {

inline at::Tensor generator_state(at::Device device) {
  auto generator = at::globalContext().defaultGenerator(device);
  std::lock_guard<std::mutex> lock(generator.mutex());
  return generator.get_state();
}

inline void set_generator_state(at::Device device, const at::Tensor& state) {
  auto generator = at::globalContext().defaultGenerator(device);
  std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_state(state);
}

}  // namespace smalti
