// Launches of one-dimensional grids of warps.
#pragma once

#include <climits>
#include <cstdint>

#include "../../cuda/device.h"

namespace smalti::na2d {

constexpr int kTooManyBlocks = 9;  // cudaErrorInvalidConfiguration

template <typename... Parameters, typename... Arguments>
int launch_blocks(void (*kernel)(Parameters...), int64_t blocks, int warps, int64_t shared_bytes, void* stream,
                  const Arguments&... arguments) {
  if (blocks == 0) return 0;
  if (blocks > INT_MAX) return kTooManyBlocks;
  return device::launch(kernel, dim3(static_cast<unsigned>(blocks)), dim3(static_cast<unsigned>(warps * device::kWarp)),
                        static_cast<size_t>(shared_bytes), stream, arguments...);
}

}  // namespace smalti::na2d
