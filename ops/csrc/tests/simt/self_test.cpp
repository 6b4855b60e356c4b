// Tests of the SIMT machine and its primitives. Build and run:
//   g++ -std=c++17 -O1 -Wall -Wextra -fsanitize=address,undefined self_test.cpp simt.cpp -o self_test && ./self_test
#include <cstdio>
#include <vector>

#include "../../cuda/device.h"

using namespace smalti;
using namespace smalti::device;

namespace {

int failures = 0;

void expect(bool holds, const char* what) {
  if (holds) return;
  ++failures;
  printf("FAILED: %s\n", what);
}

void expect_error(int status, const char* part, const char* what) {
  const bool found = simt::last_error().find(part) != std::string::npos;
  if (status == 0 || !found) printf("  status %d, error: %s\n", status, simt::last_error().c_str());
  expect(status != 0 && found, what);
}

// Small numbers, exact in every type and sum.
float small(int seed) { return static_cast<float>((seed * 2654435761u >> 20) % 17) - 8.0f; }

template <typename T>
__global__ void product_kernel(const T* a, const T* b, float* c) {  // [16, 16] x [16, 8] + [16, 8]
  const int g = lane() / 4, t = lane() % 4;
  auto two = [](T low, T high) { return pack<T>(to_float(low), to_float(high)); };
  uint32_t fa[4], fb[2];
  for (int i = 0; i < 4; ++i) {
    const T* row = a + (g + i % 2 * 8) * 16 + 2 * t + i / 2 * 8;
    fa[i] = two(row[0], row[1]);
  }
  for (int i = 0; i < 2; ++i) fb[i] = two(b[(2 * t + 8 * i) * 8 + g], b[(2 * t + 8 * i + 1) * 8 + g]);
  float fc[4];
  for (int i = 0; i < 4; ++i) fc[i] = c[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
  mma<T>(fc, fa, fb);
  for (int i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = fc[i];
}

__global__ void tf32_kernel(const float* a, const float* b, float* c) {  // [16, 8] x [8, 8]
  const int g = lane() / 4, t = lane() % 4;
  uint32_t fa[4], fb[2];
  for (int i = 0; i < 4; ++i) fa[i] = to_tf32(a[(g + i % 2 * 8) * 8 + t + i / 2 * 4]);
  for (int i = 0; i < 2; ++i) fb[i] = to_tf32(b[(t + 4 * i) * 8 + g]);
  float fc[4] = {};
  mma_tf32(fc, fa, fb);
  for (int i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = fc[i];
}

template <typename T>
void test_product(const char* what) {
  std::vector<T> a(16 * 16), b(16 * 8);
  std::vector<float> c(16 * 8), expected(16 * 8);
  for (int i = 0; i < 256; ++i) a[i] = from_float<T>(small(i));
  for (int i = 0; i < 128; ++i) b[i] = from_float<T>(small(1000 + i)), c[i] = expected[i] = small(2000 + i);
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 8; ++j)
      for (int k = 0; k < 16; ++k) expected[i * 8 + j] += to_float(a[i * 16 + k]) * to_float(b[k * 8 + j]);
  expect(launch(product_kernel<T>, 1, 32, 0, nullptr, a.data(), b.data(), c.data()) == 0, "mma runs");
  expect(c == expected, what);
}

void test_tf32() {
  std::vector<float> a(16 * 8), b(8 * 8), c(16 * 8), expected(16 * 8);
  for (int i = 0; i < 128; ++i) a[i] = small(i);
  for (int i = 0; i < 64; ++i) b[i] = small(500 + i);
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 8; ++j)
      for (int k = 0; k < 8; ++k) expected[i * 8 + j] += a[i * 8 + k] * b[k * 8 + j];
  expect(launch(tf32_kernel, 1, 32, 0, nullptr, a.data(), b.data(), c.data()) == 0, "mma_tf32 runs");
  expect(c == expected, "mma_tf32 is the product");
  expect(simt::float_of(to_tf32(1.0f + 0x1p-11f)) == 1.0f + 0x1p-10f, "to_tf32 rounds ties away");
  expect(simt::float_of(to_tf32(-1.0f - 0x1p-12f)) == -1.0f, "to_tf32 rounds to nearest");
}

// One matrix product through shared memory, as attention kernels do it: A rows by ldmatrix, B [K][N] by ldmatrix.trans.
__global__ void ldmatrix_kernel(const bf16* a, const bf16* b, float* c) {
  SMALTI_SHARED(bf16, rows, 16 * 16);
  SMALTI_SHARED(bf16, columns, 16 * 8);
  for (int i = lane(); i < 256; i += 32) rows[i] = a[i];
  for (int i = lane(); i < 128; i += 32) columns[i] = b[i];
  __syncthreads();
  uint32_t fa[4], fb[2];
  load_matrix_x4(fa, rows + lane() % 16 * 16 + lane() / 16 * 8);
  load_matrix_x2_transposed(fb, columns + lane() % 16 * 8);
  float fc[4] = {};
  mma<bf16>(fc, fa, fb);
  for (int i = 0; i < 4; ++i) c[(lane() / 4 + i / 2 * 8) * 8 + 2 * (lane() % 4) + i % 2] = fc[i];
}

void test_ldmatrix() {
  std::vector<bf16> a(256), b(128);
  std::vector<float> c(128), expected(128);
  for (int i = 0; i < 256; ++i) a[i] = from_float<bf16>(small(i));
  for (int i = 0; i < 128; ++i) b[i] = from_float<bf16>(small(300 + i));
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 8; ++j)
      for (int k = 0; k < 16; ++k) expected[i * 8 + j] += to_float(a[i * 16 + k]) * to_float(b[k * 8 + j]);
  expect(launch(ldmatrix_kernel, 1, 32, 0, nullptr, a.data(), b.data(), c.data()) == 0, "ldmatrix runs");
  expect(c == expected, "ldmatrix fragments fit mma");
}

__global__ void misaligned_kernel() {
  SMALTI_SHARED(bf16, rows, 8 * 9);
  uint32_t r[4];
  load_matrix_x4(r, rows + lane() % 8 * 9);
}

__global__ void shuffle_kernel(int* out) {  // [5, 32]
  const int l = lane();
  out[l] = shuffle(100 + l, 3, 8);
  out[32 + l] = shuffle_xor(100 + l, 5);
  out[64 + l] = shuffle_down(100 + l, 3, 8);
  out[96 + l] = static_cast<int>(shuffle_xor(1e100 + l, 1) == 1e100 + (l ^ 1));
  out[128 + l] = static_cast<int>(vote(l % 3 == 0));
}

void test_shuffles() {
  std::vector<int> out(160);
  expect(launch(shuffle_kernel, 1, 32, 0, nullptr, out.data()) == 0, "shuffles run");
  bool right = true;
  for (int l = 0; l < 32; ++l) {
    right &= out[l] == 100 + l / 8 * 8 + 3;
    right &= out[32 + l] == 100 + (l ^ 5);
    right &= out[64 + l] == (l % 8 + 3 < 8 ? 103 + l : 100 + l);
    right &= out[96 + l] == 1;
    right &= static_cast<unsigned>(out[128 + l]) == 0x49249249u;
  }
  expect(right, "shuffles and vote");
}

__global__ void copy_kernel(const float* from, float* out, bool wait) {
  SMALTI_DYNAMIC_SHARED(float, staged);
  const int i = static_cast<int>(threadIdx.x);
  copy_async<16>(staged + 4 * i, from + 4 * i);
  commit_copies();
  copy_async<4>(staged + 256 + i, from + i, i % 2 == 0);
  commit_copies();
  if (wait) wait_copies<1>();
  __syncthreads();
  out[i] = staged[255 - i];
  wait_copies<0>();
  __syncthreads();
  out[64 + i] = staged[256 + 63 - i];
}

void test_copies() {
  std::vector<float> from(256), out(128);
  for (int i = 0; i < 256; ++i) from[i] = static_cast<float>(i);
  const size_t bytes = 320 * sizeof(float);
  expect(launch(copy_kernel, 1, 64, bytes, nullptr, from.data(), out.data(), true) == 0, "copies run");
  bool right = true;
  for (int i = 0; i < 64; ++i) right &= out[i] == from[255 - i] && out[64 + i] == (i % 2 == 0 ? 0.0f : 63.0f - i);
  expect(right, "copies arrive, invalid ones as zeros");
  expect(launch(copy_kernel, 1, 64, bytes, nullptr, from.data(), out.data(), false) == 0, "copies without a wait run");
  bool early = false;
  for (int i = 0; i < 64; ++i) early |= std::isnan(out[i]);
  expect(early, "copies can not be seen before the wait");
}

__global__ void unwaited_kernel(const float* from) {
  SMALTI_SHARED(float, staged, 128);
  copy_async<16>(staged + 4 * threadIdx.x, from + 4 * threadIdx.x);
  commit_copies();
}
__global__ void early_exit_kernel() {
  if (threadIdx.x == 40) return;
  __syncthreads();
}
__global__ void divergent_barrier_kernel() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
__global__ void partial_shuffle_kernel() {
  if (lane() < 16) shuffle(1, 0);
}
__global__ void mixed_collectives_kernel() {
  if (lane() < 16) {
    __syncwarp();
  } else {
    shuffle(1, 0);
  }
}
__global__ void warp_in_barrier_kernel() {
  if (threadIdx.x < 33) __syncthreads();
  __syncwarp();
}
__global__ void static_and_dynamic_kernel() {
  SMALTI_SHARED(float, values, 1024);
  values[threadIdx.x] = 0;
}
__global__ void garbage_kernel(float* out) {
  SMALTI_SHARED(float, values, 2);
  SMALTI_DYNAMIC_SHARED(float, more);
  out[blockIdx.x * 2] = values[1], out[blockIdx.x * 2 + 1] = more[1];
  values[1] = more[1] = 1;
}

void test_misuse() {
  std::vector<float> values(128);
  expect_error(launch(misaligned_kernel, 1, 32, 0, nullptr), "multiple of 16", "misaligned ldmatrix");
  expect_error(launch(unwaited_kernel, 1, 32, 0, nullptr, values.data()), "never waited", "copies never waited for");
  expect_error(launch(early_exit_kernel, 1, 64, 0, nullptr), "1 threads have ended", "exit before a barrier");
  expect_error(launch(divergent_barrier_kernel, 1, 64, 0, nullptr), "while others wait", "divergent barrier");
  expect_error(launch(partial_shuffle_kernel, 1, 32, 0, nullptr), "16 at a warp collective", "partial shuffle");
  expect_error(launch(mixed_collectives_kernel, 1, 32, 0, nullptr), "while other lanes", "mixed collectives");
  expect_error(launch(warp_in_barrier_kernel, 1, 64, 0, nullptr), "deadlock", "barrier of some, collective of others");
  expect_error(launch(early_exit_kernel, 1, 2048, 0, nullptr), "2048 threads", "block too large");
  expect_error(launch(early_exit_kernel, 1, 32, 1 << 20, nullptr), "shared memory", "too much shared memory");
  expect_error(launch(static_and_dynamic_kernel, 1, 32, 48 << 10, nullptr), "static and dynamic", "48 KiB in all");
  expect(launch(garbage_kernel, 2, 1, 8, nullptr, values.data()) == 0, "runs after errors");
  for (int i = 0; i < 4; ++i) expect(std::isnan(values[i]), "shared memory starts as NaN in every block");
}

// Reads a neighbour's shared value without a barrier: whether it is there yet depends on the order.
__global__ void race_kernel(float* out, bool barrier) {
  SMALTI_SHARED(float, values, 64);
  values[threadIdx.x] = 1;
  if (barrier) __syncthreads();
  out[threadIdx.x] = values[63 - threadIdx.x];
}

__global__ void sum_kernel(const float* from, float* out) {
  const float4 v = load<float4>(from + 4 * threadIdx.x);
  const uint4 same = load_const_or_zero(from + 4 * threadIdx.x, true), zero = load_const_or_zero(nullptr, false);
  if (__uint_as_float(same.w) != v.w || zero.x != 0 || zero.w != 0) return;
  atomic_add4(out, v);
  atomic_add(out + 4, v.x);
}

void test_orders() {
  const simt::Order orders[] = {simt::Order::kForward, simt::Order::kBackward, simt::Order::kShuffled};
  for (const simt::Order order : orders) {
    simt::set_order(order, 7);
    std::vector<float> out(64);
    launch(race_kernel, 1, 64, 0, nullptr, out.data(), false);
    bool race = false, right = true;
    for (const float v : out) race |= std::isnan(v);
    expect(race, "a race shows");
    expect(launch(race_kernel, 1, 64, 0, nullptr, out.data(), true) == 0, "barrier runs");
    for (const float v : out) right &= v == 1;
    expect(right, "a barrier mends it");
    test_product<bf16>("mma of bf16 is the product");
    test_product<f16>("mma of f16 is the product");
    test_tf32();
    test_ldmatrix();
    test_shuffles();
    test_copies();
    test_misuse();
  }
  alignas(16) float from[128], out[8] = {};
  for (int i = 0; i < 128; ++i) from[i] = static_cast<float>(i % 4);
  expect(launch(sum_kernel, 1, 32, 0, nullptr, &from[0], &out[0]) == 0, "atomics run");
  expect(out[0] == 0 && out[1] == 32 && out[3] == 96 && out[4] == 0, "atomics add");
  expect_error(launch(sum_kernel, 1, 32, 0, nullptr, &from[0], &out[1]), "atomic_add4", "misaligned atomics");
}

void test_halves() {
  bool right = true;
  for (int i = 0; i < 0x10000; ++i) {
    const bf16 b{static_cast<uint16_t>(i)};
    const f16 h{static_cast<uint16_t>(i)};
    right &= std::isnan(to_float(b)) || from_float<bf16>(to_float(b)).bits == i;
    right &= std::isnan(to_float(h)) || from_float<f16>(to_float(h)).bits == i;
  }
  expect(right, "halves survive the way through float");
  expect(from_float<bf16>(1.0f + 0x1p-8f).bits == 0x3f80, "bf16 ties go to even");
  expect(from_float<bf16>(1.0f + 0x1.8p-7f).bits == 0x3f82, "bf16 ties go to even, upwards");
  expect(from_float<f16>(2049.0f).bits == from_float<f16>(2048.0f).bits, "f16 ties go to even");
  expect(from_float<f16>(65519.0f).bits == 0x7bff && from_float<f16>(65520.0f).bits == 0x7c00, "f16 overflows");
  expect(from_float<f16>(0x1p-25f).bits == 0 && from_float<f16>(0x1.8p-25f).bits == 1, "f16 denormals");
  expect(std::isnan(to_float(from_float<bf16>(NAN))) && std::isnan(to_float(from_float<f16>(NAN))), "NaN stays NaN");
  const float2 two = unpack<f16>(pack<f16>(1.5f, -2.25f));
  expect(two.x == 1.5f && two.y == -2.25f, "pack and unpack");
}

}  // namespace

int main() {
  test_halves();
  test_orders();
  printf(failures ? "%d failures\n" : "ok\n", failures);
  return failures != 0;
}
