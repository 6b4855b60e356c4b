// Single-thread times of the CPU kernels of multi-scale deformable attention, per image: Mask2Former's pixel decoder on
// a 512x512 input (levels of stride 32, 16 and 8; 5,376 queries; 8 heads of 32 channels; 4 points).
//
// Build: compile ms_deform_attn/cpu/kernel.cpp once per instruction set (flags: see ops/build) and link all three.
// Usage: deform_bench [runs]. Medians of processor time, so that other processes disturb them less.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <random>
#include <vector>

#include "../ms_deform_attn/cpu/kernel.h"

namespace {

using namespace smalti;

template <typename Body>
double median_ms(int runs, const Body& body) {
  std::vector<double> times;
  for (int i = 0; i < runs + 2; ++i) {
    const std::clock_t start = std::clock();
    body();
    times.push_back(1e3 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  }
  times.erase(times.begin(), times.begin() + 2);
  std::nth_element(times.begin(), times.begin() + runs / 2, times.end());
  return times[runs / 2];
}

void from_float(float value, float* to) { *to = value; }
void from_float(float value, bf16* to) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  to->bits = static_cast<uint16_t>(bits >> 16);
}

template <typename T>
std::vector<T> normal(std::mt19937& random, size_t count, float spread) {
  std::normal_distribution<float> draw(0, spread);
  std::vector<T> values(count);
  for (T& value : values) from_float(draw(random), &value);
  return values;
}

template <typename T>
void bench(const char* name, const DeformKernels<T>& kernels, int runs) {
  const DeformLevel levels[] = {{16, 16, 0}, {32, 32, 256}, {64, 64, 1280}};
  const DeformShape s{1, 5376, 5376, 8, 32, 3, 4, levels, 5376 * 8 * 32, 8 * 32, 32};
  std::mt19937 random(1);
  const auto value = normal<T>(random, s.positions * 256, 1), grad_out = normal<T>(random, s.queries * 256, 1);
  const auto offsets = normal<float>(random, s.queries * 8 * 24, 2), logits = normal<float>(random, s.queries * 96, 1);
  std::vector<float> reference;
  for (const DeformLevel& level : levels)
    for (int64_t i = 0; i < level.height * level.width; ++i)
      for (int l = 0; l < 3; ++l) {
        reference.push_back((i % level.width + 0.5f) / level.width);
        reference.push_back((i / level.width + 0.5f) / level.height);
      }
  std::vector<T> out(grad_out.size()), grad_value(value.size());
  std::vector<float> grad_offsets(offsets.size()), grad_logits(logits.size());
  const DeformForward<T> forward{s, value.data(), reference.data(), offsets.data(), logits.data(), out.data()};
  const DeformBackward<T> backward{s,
                                   value.data(),
                                   reference.data(),
                                   offsets.data(),
                                   logits.data(),
                                   grad_out.data(),
                                   grad_value.data(),
                                   grad_offsets.data(),
                                   grad_logits.data()};
  const double forward_ms = median_ms(runs, [&] { kernels.forward(forward, 0, s.queries); });
  const double backward_ms = median_ms(runs, [&] { kernels.backward(backward, 0, s.heads); });
  std::printf("%-14s forward %6.2f ms   backward %6.2f ms   both %6.2f ms\n", name, forward_ms, backward_ms,
              forward_ms + backward_ms);
}

}  // namespace

int main(int count, char** arguments) {
  const int runs = count > 1 ? std::max(1, std::atoi(arguments[1])) : 15;
  bench("baseline f32", baseline::deform_f32, runs);
  bench("baseline bf16", baseline::deform_bf16, runs);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")) {
    bench("avx2 f32", avx2::deform_f32, runs);
    bench("avx2 bf16", avx2::deform_bf16, runs);
  }
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw")) {
    bench("avx512 f32", avx512::deform_f32, runs);
    bench("avx512 bf16", avx512::deform_bf16, runs);
  }
}
