// What the CUDA launchers of every op share: stream, workspace and errors.
#pragma once

#include <ATen/ATen.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

namespace smalti::cuda {

// The current stream of the current device.
inline void* stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

// Memory for the kernels' own use on the device of `like`. libtorch hands it out again only to later work of this stream.
inline at::Tensor workspace(int64_t bytes, const at::Tensor& like) {
  return at::empty({bytes}, like.options().dtype(at::kByte));
}

inline void check(const char* op, int error) {
  TORCH_CHECK(error == cudaSuccess, op, ": CUDA error ", error, ": ",
              cudaGetErrorString(static_cast<cudaError_t>(error)));
}

}  // namespace smalti::cuda
