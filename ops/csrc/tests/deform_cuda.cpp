// Runs the CUDA kernels of multi-scale deformable attention on the SIMT machine and compares them with the definition,
// over seeded random cases. What has to have the same bits every time is run in all orders of threads. From ops/csrc:
//   g++ -std=c++17 -O1 -Wall -Wextra -fsanitize=address,undefined -x c++ ms_deform_attn/cuda/*.cu
//       tests/deform_cuda.cpp tests/simt/simt.cpp -o deform_cuda && ./deform_cuda
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "../ms_deform_attn/cuda/deform.h"
#include "deform_reference.h"
#include "simt/halves.h"
#include "simt/simt.h"

namespace {

using namespace smalti;
using deform::backward_cuda;
using deform::backward_cuda_workspace;
using deform::forward_cuda;
using deform::ValueGradient;

std::mt19937_64 random_bits(1);
int pick(int low, int high) { return low + static_cast<int>(random_bits() % static_cast<unsigned>(high - low + 1)); }
int pick_of(std::initializer_list<int> choices) {
  return choices.begin()[pick(0, static_cast<int>(choices.size()) - 1)];
}
bool chance(int one_in) { return pick(1, one_in) == 1; }

template <typename T>
double to_double(T x) {
  if constexpr (sizeof(T) == 2) return simt::widen(x);
  else return x;
}
template <typename T>
T from_double(double x) {
  if constexpr (std::is_same_v<T, double>) return x;
  else return simt::narrow<T>(static_cast<float>(x));
}

template <typename T>
struct Precision;
template <>
struct Precision<float> {
  static constexpr double kStored = 0, kComputed = 0x1p-23;
};
template <>
struct Precision<double> {
  static constexpr double kStored = 0, kComputed = 0x1p-52;
};
template <>
struct Precision<bf16> {
  static constexpr double kStored = 0x1p-8, kComputed = 0x1p-23;
};
template <>
struct Precision<f16> {
  static constexpr double kStored = 0x1p-11, kComputed = 0x1p-23;
};

struct Order {
  simt::Order order;
  const char* name;
};
const Order kOrders[] = {{simt::Order::kForward, "forward"},
                         {simt::Order::kBackward, "backward"},
                         {simt::Order::kShuffled, "shuffled"}};

[[noreturn]] void give_up(const char* what) {
  printf("deform_cuda: %s\n", what);
  exit(1);
}
void require_success(int status, const char* what) {
  if (status == 0) return;
  printf("deform_cuda: %s: status %d, %s\n", what, status, simt::last_error().c_str());
  exit(1);
}

// Memory that starts as NaNs, to see what nobody writes.
template <typename T>
std::vector<T> garbage(size_t size) {
  std::vector<T> to(size);
  if (size) memset(static_cast<void*>(to.data()), 0xff, size * sizeof(T));
  return to;
}
template <typename T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.empty() || memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}
template <typename T>
std::vector<double> widened(const std::vector<T>& from) {
  std::vector<double> to;
  for (const T x : from) to.push_back(to_double(x));
  return to;
}
std::vector<double> absolute(std::vector<double> from) {
  for (double& x : from) x = std::fabs(x);
  return from;
}

template <typename T>
struct Case {
  using C = Compute<T>;

  DeformShape shape;
  std::vector<DeformLevel> levels;
  std::vector<T> value;    // [B, S, M, D], contiguous
  std::vector<T> strided;  // as the kernels take it
  int64_t misaligned;      // elements in front of it
  std::vector<C> reference, offsets, logits;
  std::vector<T> grad_out;

  Case() {
    const int dim = pick_of({1, 5, 8, 16, 16, 32, 32, 32, 40, 64, 128});
    // Unrolled kernels have 12 or 16 points.
    const int form = pick(0, 3);
    const int level_count = form == 0 ? 3 : form == 1 ? 4 : pick(1, 5), points = form < 2 ? 4 : pick(1, 7);
    int64_t positions = 0;
    for (int l = 0; l < level_count; ++l) {
      const int most = chance(4) ? 15 : 6;
      levels.push_back({pick(1, most), pick(1, most), positions});
      positions += levels.back().width * levels.back().height;
    }
    const int batch = chance(12) ? 0 : pick(1, 2), queries = chance(12) ? 0 : chance(8) ? pick(100, 200) : pick(1, 12);
    const int heads = queries > 12 ? 1 : pick(1, 3);
    const bool views = chance(3);
    misaligned = views && chance(2) ? 1 : 0;
    const int64_t unit = views && !misaligned ? 8 : 1;
    const int64_t stride_m = views ? (dim + unit - 1) / unit * unit + unit * pick(0, 1) : dim;
    const int64_t stride_s = heads * stride_m + (views ? unit * pick(0, 2) : 0);
    shape = {batch, positions, queries, heads, dim, level_count, points, levels.data(), positions * stride_s, stride_s,
             stride_m};

    std::normal_distribution<double> normal;
    const auto fill = [&](auto& to, int64_t size) {
      using E = typename std::decay_t<decltype(to)>::value_type;
      for (int64_t i = 0; i < size; ++i) to.push_back(from_double<E>(normal(random_bits)));
    };
    fill(value, batch * positions * heads * dim);
    fill(logits, int64_t{batch} * queries * heads * level_count * points);
    fill(grad_out, int64_t{batch} * queries * heads * dim);
    // Positions that every type holds exactly: gradients jump where cells meet.
    const bool crowded = chance(4);  // all points in few cells
    for (int64_t i = 0; i < int64_t{batch} * queries * level_count * 2; ++i)
      reference.push_back(static_cast<C>(crowded ? 0.5 : pick(-8, 72) / 64.0));
    for (int64_t i = 0; i < int64_t{batch} * queries * heads * level_count * points * 2; ++i) {
      C offset = static_cast<C>(crowded ? pick(-4, 4) / 64.0 : pick(-160, 160) / 64.0);
      if (chance(40)) offset = static_cast<C>(pick(0, 2) - 1) * static_cast<C>(INFINITY);  // -inf, NaN, inf
      if (chance(80)) offset = static_cast<C>(chance(2) ? 1e30 : -3e9);
      offsets.push_back(offset);
    }

    strided = garbage<T>(static_cast<size_t>(misaligned + batch * shape.value_b));
    const T* from = value.data();
    for (int64_t b = 0; b < batch; ++b)
      for (int64_t s = 0; s < positions; ++s)
        for (int64_t m = 0; m < heads; ++m, from += dim)
          memcpy(&strided[misaligned + b * shape.value_b + s * stride_s + m * stride_m], from, dim * sizeof(T));
  }

  const T* value_pointer() const { return strided.data() + misaligned; }
};

// |result - expected| against kEpsilons roundings of the arithmetic on terms of that magnitude, and one of the storage.
template <typename E, typename T>
void compare(const std::vector<E>& result, const std::vector<double>& expected, const std::vector<double>& magnitude,
             const char* what) {
  constexpr double kEpsilons = 64;
  const double stored = std::is_same_v<E, T> ? Precision<T>::kStored : 0;
  for (size_t i = 0; i < result.size(); ++i) {
    const double error = std::fabs(to_double(result[i]) - expected[i]);
    const double allowed =
        kEpsilons * Precision<T>::kComputed * magnitude[i] + stored * std::fabs(expected[i]) + (stored ? 0x1p-24 : 0);
    if (error <= allowed) continue;
    printf("deform_cuda: %s[%zu] = %g, not %g: off by %g, allowed %g\n", what, i, to_double(result[i]), expected[i],
           error, allowed);
    exit(1);
  }
}

template <typename T>
struct Grads {
  std::vector<T> value;
  std::vector<Compute<T>> offsets, logits;
};

template <typename T>
Grads<T> run_backward(const Case<T>& given, ValueGradient how) {
  Grads<T> grads{garbage<T>(given.value.size()), garbage<Compute<T>>(given.offsets.size()),
                 garbage<Compute<T>>(given.logits.size())};
  const DeformBackward<T> args{given.shape,         given.value_pointer(), given.reference.data(),
                               given.offsets.data(), given.logits.data(),   given.grad_out.data(),
                               grads.value.data(),  grads.offsets.data(),  grads.logits.data()};
  auto workspace = garbage<char>(static_cast<size_t>(backward_cuda_workspace(args, how)));
  require_success(backward_cuda(args, how, workspace.data(), nullptr), "backward");
  return grads;
}

template <typename T>
void check_case(const char* type, int number) {
  const Case<T> given;
  const DeformShape& s = given.shape;
  printf("%s %d: B %d Q %d M %d D %d L %d P %d S %d stride %d%s\n", type, number, int(s.batch), int(s.queries),
         int(s.heads), int(s.head_dim), int(s.levels), int(s.points), int(s.positions), int(s.value_s),
         given.misaligned ? " misaligned" : "");
  fflush(stdout);
  const auto value = widened(given.value), reference = widened(given.reference), offsets = widened(given.offsets),
             logits = widened(given.logits), grad_out = widened(given.grad_out);
  std::vector<double> out(grad_out.size()), out_magnitude(out.size());
  reference::deform_forward(s, value.data(), reference.data(), offsets.data(), logits.data(), out.data());
  reference::deform_forward(s, absolute(value).data(), reference.data(), offsets.data(), logits.data(),
                            out_magnitude.data());
  struct {
    std::vector<double> value, reference, offsets, logits;
  } expected{value, reference, offsets, logits}, magnitude = expected;
  reference::deform_backward(s, value.data(), reference.data(), offsets.data(), logits.data(), grad_out.data(),
                             expected.value.data(), expected.reference.data(), expected.offsets.data(),
                             expected.logits.data());
  reference::deform_backward(s, absolute(value).data(), reference.data(), offsets.data(), logits.data(),
                             absolute(grad_out).data(), magnitude.value.data(), magnitude.reference.data(),
                             magnitude.offsets.data(), magnitude.logits.data(), reference::DeformSigns::Magnitude);

  std::vector<T> first_out;
  Grads<T> first;
  for (const Order& order : kOrders) {
    simt::set_order(order.order, static_cast<uint64_t>(number));
    auto result = garbage<T>(out.size());
    const DeformForward<T> args{s, given.value_pointer(), given.reference.data(), given.offsets.data(),
                                given.logits.data(), result.data()};
    require_success(forward_cuda(args, nullptr), "forward");
    compare<T, T>(result, out, out_magnitude, "out");

    const Grads<T> fast = run_backward(given, ValueGradient::kFast);
    const Grads<T> grads = run_backward(given, ValueGradient::kDeterministic);
    compare<T, T>(fast.value, expected.value, magnitude.value, "fast grad_value");
    compare<T, T>(grads.value, expected.value, magnitude.value, "grad_value");
    compare<Compute<T>, T>(grads.offsets, expected.offsets, magnitude.offsets, "grad_offsets");
    compare<Compute<T>, T>(grads.logits, expected.logits, magnitude.logits, "grad_logits");

    if (order.order == simt::Order::kForward) first_out = result, first = grads;
    const bool same = same_bits(result, first_out) && same_bits(grads.value, first.value) &&
                      same_bits(grads.offsets, first.offsets) && same_bits(grads.logits, first.logits) &&
                      same_bits(fast.offsets, first.offsets) && same_bits(fast.logits, first.logits);
    if (!same) give_up("the bits depend on the order of threads");
  }
}

// Levels must follow one another and cover the value.
void check_refusals() {
  const DeformLevel gap[] = {{2, 2, 0}, {1, 1, 5}};
  float f[64] = {};
  DeformForward<float> args{{1, 6, 1, 1, 1, 2, 1, gap, 6, 1, 1}, f, f, f, f, f};
  if (forward_cuda(args, nullptr) == 0) give_up("a gap between levels was not refused");
  const DeformLevel all[] = {{2, 2, 0}, {2, 1, 4}};
  args.shape.level = all;
  require_success(forward_cuda(args, nullptr), "levels without a gap");
  args.shape.positions = 7;
  if (forward_cuda(args, nullptr) == 0) give_up("positions of no level were not refused");
}

}  // namespace

// Usage: deform_cuda [cases of each type] [seed]
int main(int count, char** words) {
  const int cases = count > 1 ? atoi(words[1]) : 15;
  random_bits.seed(count > 2 ? strtoull(words[2], nullptr, 10) : 1);
  check_refusals();
  for (int i = 0; i < cases; ++i) {
    check_case<float>("f32", i);
    check_case<double>("f64", i);
    check_case<bf16>("bf16", i);
    check_case<f16>("f16", i);
  }
  puts("ok");
  return 0;
}
