// The choice of the kernels, and the workspace of the backward pass.
#include "na2d.h"

#include "bias_gradient.h"
#include "per_token.h"
#include "tiled.h"

namespace smalti::na2d {
namespace {

// [delta, padded to 16 bytes | parts of the bias gradient]
template <typename T>
int64_t delta_bytes(const Na2dShape& s) {
  const int64_t bytes = s.batch * s.height * s.width * s.heads * static_cast<int64_t>(sizeof(Compute<T>));
  return (bytes + 15) / 16 * 16;
}

int64_t table_size(const Na2dShape& s) { return (2 * s.window_y - 1) * (2 * s.window_x - 1); }

// Parts of the bias gradient that an image and head has.
template <typename T>
int64_t bias_units(const Na2dBackward<T>& args) {
  if constexpr (sizeof(T) < 8)
    if (takes_tiles(args)) return tiled_bias_units(args.shape);
  return per_token_bias_units(args.shape);
}

template <typename T>
int gradients(const Na2dBackward<T>& args, Compute<T>* delta, Compute<T>* parts, void* stream) {
  if constexpr (sizeof(T) < 8) {
    if (takes_tiles(args)) {
      const int status = tiled_query_gradients(args, delta, parts, stream);
      return status != 0 ? status : tiled_key_gradients(args, delta, stream);
    }
  }
  return per_token_backward(args, delta, parts, stream);
}

}  // namespace

template <typename T>
int forward_cuda(const Na2dForward<T>& args, void* stream) {
  if constexpr (sizeof(T) < 8)
    if (takes_tiles(args)) return tiled_forward(args, stream);
  return per_token_forward(args, stream);
}

template <typename T>
int64_t backward_cuda_workspace(const Na2dBackward<T>& args) {
  const Na2dShape& s = args.shape;
  const int64_t parts = args.grad_bias ? s.batch * s.heads * bias_units(args) * table_size(s) : 0;
  return delta_bytes<T>(s) + parts * static_cast<int64_t>(sizeof(Compute<T>));
}

template <typename T>
int backward_cuda(const Na2dBackward<T>& args, void* workspace, void* stream) {
  using C = Compute<T>;
  const Na2dShape& s = args.shape;
  C* delta = static_cast<C*>(workspace);
  C* parts = args.grad_bias ? reinterpret_cast<C*>(static_cast<char*>(workspace) + delta_bytes<T>(s)) : nullptr;
  int status = gradients(args, delta, parts, stream);
  if (status == 0 && args.grad_bias)
    status = sum_bias_parts<C>(parts, args.grad_bias, s.batch, s.heads, bias_units(args), table_size(s), stream);
  return status;
}

#define SMALTI_INSTANTIATE(T)                                    \
  template int forward_cuda(const Na2dForward<T>&, void*);       \
  template int64_t backward_cuda_workspace(const Na2dBackward<T>&); \
  template int backward_cuda(const Na2dBackward<T>&, void*, void*);
SMALTI_INSTANTIATE(float)
SMALTI_INSTANTIATE(double)
SMALTI_INSTANTIATE(bf16)
SMALTI_INSTANTIATE(f16)
#undef SMALTI_INSTANTIATE

}  // namespace smalti::na2d
