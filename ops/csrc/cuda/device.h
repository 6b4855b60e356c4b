// What every CUDA kernel includes: device primitives under one set of names for nvcc (native.h) and for the host, where
// tests run the same source on the SIMT emulator (tests/simt). Nothing here knows torch.
//
// Kernels are written in CUDA C++ with these differences:
//
//   SMALTI_SHARED(type, name, count)        static shared array; count is a constant. Not `__shared__`
//   SMALTI_DYNAMIC_SHARED(type, name)       the launch's shared memory as a type*, 128-byte aligned. Once a kernel
//   SMALTI_UNROLL, SMALTI_UNROLL_BY(n)      `#pragma unroll`, which g++ would not know
//   SMALTI_HOST_DEVICE                      `__host__ __device__`, for headers that the host shares
//
// Plain CUDA that works on both sides: threadIdx, blockIdx, blockDim, gridDim, __global__, __device__, __host__,
// __forceinline__, __launch_bounds__, __grid_constant__, __restrict__, __syncthreads(), __syncwarp(), dim3, float2,
// float4, uint2, uint4, their make_ functions, __uint_as_float, __float_as_uint, the functions of <math.h>.
//
// namespace smalti::device; T is bf16 or f16 where a function speaks of halves:
//
//   kWarp, lane()                           32; the thread's index in its warp
//   load<V>(p), store(p, v)                 one access of sizeof(V) bytes (1 to 16), p aligned to it
//   load_const<V>(p)                        same, of global memory that nobody writes while the kernel runs
//   load_const_or_zero(p, valid)            16 bytes as a uint4; zeros if !valid, p is not read then. Without a branch
//   load_shared_again(p)                    16 bytes of shared memory as a uint4, from there each time: compilers keep
//                                           what plain loads of a loop give in registers, even if those do not suffice
//   shuffle(v, lane, width = 32)            warp collectives of 32-bit or 64-bit values: every lane of the warp takes part
//   shuffle_xor(v, mask, width = 32)
//   shuffle_down(v, delta, width = 32)
//   vote(predicate)                         bit i = predicate of lane i
//   count_bits(bits)                        ones in 32 bits
//   copy_async<Bytes>(shared, global)       cp.async of 4, 8 or 16 bytes, both sides aligned to it
//   copy_async<Bytes>(shared, global, valid)  zeros instead if !valid; global must be aligned all the same
//   commit_copies(), wait_copies<N>()       closes a group; waits until at most the N newest groups are under way. The
//                                           data of other threads needs a barrier after the wait
//   load_matrix_x4(r, row), load_matrix_x2  ldmatrix .b16: r[4] or r[2]; lane i gives row i % 8 of matrix i / 8
//   load_matrix_x4_transposed, _x2_transposed
//   mma<T>(c, a, b)                         c[4] += a[4] b[2]: m16n8k16, f32 accumulators
//   mma_tf32(c, a, b)                       c[4] += a[4] b[2]: m16n8k8, operands from to_tf32
//   to_tf32(x)                              nearest tf32, ties away from zero, as bits
//   exp2_fast(x), log2_fast(x)              the approximate instructions (2 ulp; denormals flush to zero)
//   to_float(x), from_float<T>(x)           conversions of bf16, f16 and float; to nearest, ties to even
//   pack<T>(low, high), unpack<T>(bits)     two halves in 32 bits, from floats and to a float2
//   atomic_add(p, v)                        float, double, int; returns the old value
//   atomic_add4(p, v)                       float4 to four floats of global memory, 16-byte aligned; at once on sm_90+
//
// Host side; both return 0 or a cudaError_t:
//
//   launch(kernel, grid, block, shared_bytes, stream, args...)
//   fill_zero(p, bytes, stream)
//
// Fragments (PTX ISA, mma.m16n8k16 of 16-bit types), g = lane / 4, t = lane % 4; every register packs two halves:
//   a[0] = A[g][2t, 2t+1]   a[1] = A[g+8][2t, 2t+1]   a[2] = A[g][2t+8, 2t+9]   a[3] = A[g+8][2t+8, 2t+9]
//   b[0] = B[2t, 2t+1][g]   b[1] = B[2t+8, 2t+9][g]
//   c[0], c[1] = C[g][2t, 2t+1]   c[2], c[3] = C[g+8][2t, 2t+1]
// mma.m16n8k8 tf32: a = A[g][t], A[g+8][t], A[g][t+4], A[g+8][t+4]; b = B[t][g], B[t+4][g]; c as above.
#pragma once

#include "../element.h"

#ifdef __CUDACC__
#include "native.h"
#define SMALTI_HOST_DEVICE __host__ __device__
#else
#include "../tests/simt/emulated.h"
#define SMALTI_HOST_DEVICE
#endif
