// Proves the CUDA kernels of 2D neighborhood attention on the SIMT machine: random cases against the definition in
// double precision, with equal bits for every order of threads. Takes the number of cases (default below) and exits 1
// on the first failure. To build, from ops/csrc:
//
//   g++ -std=c++17 -O2 -x c++ tests/na2d_cuda.cpp tests/simt/simt.cpp neighborhood_attention/cuda/*.cu
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>

#include "../neighborhood_attention/cuda/na2d.h"
#include "na2d_reference.h"
#include "simt/halves.h"
#include "simt/simt.h"

namespace {

using namespace smalti;
using smalti_test::Doubles;
using smalti_test::NaProblem;

struct Case {
  NaProblem problem;
  bool bias, bias_grad, lse;
  bool packed;  // q, k, v and their gradients are views of [B, H, W, 3, M, D]
  int gap;      // elements between the tokens of grad_out, and of q, k, v where not packed
  unsigned seed;
  int type;  // of kTypes
  std::string name;
};

template <typename T>
struct Type;
template <>
struct Type<double> {
  static constexpr const char* name = "f64";
  static constexpr double rounding = 0x1p-53, slack = 1e-12;
};
template <>
struct Type<float> {
  static constexpr const char* name = "f32";
  static constexpr double rounding = 0x1p-24, slack = 1e-5;
};
template <>
struct Type<bf16> {
  static constexpr const char* name = "bf16";
  static constexpr double rounding = 0x1p-9, slack = 1e-5;
};
template <>
struct Type<f16> {
  static constexpr const char* name = "f16";
  static constexpr double rounding = 0x1p-12, slack = 1e-5;
};

enum { kF32, kF64, kBf16, kF16 };
const char* const kTypes[] = {Type<float>::name, Type<double>::name, Type<bf16>::name, Type<f16>::name};

double widen(double x) { return x; }
template <typename T>
double widen(T x) {
  if constexpr (sizeof(T) == 2)
    return simt::widen(x);
  else
    return x;
}
template <typename T>
T narrow(double x) {
  if constexpr (sizeof(T) == 8)
    return x;
  else
    return simt::narrow<T>(static_cast<float>(x));
}

[[noreturn]] void fail(const Case& c, const std::string& what) {
  printf("na2d_cuda: %s: %s\n", c.name.c_str(), what.c_str());
  exit(1);
}

// A [B, H, W, M, D] view of a buffer that is allocated exactly.
template <typename T>
struct View {
  T* data;
  Strides strides;
};

template <typename Visit>
void for_each_element(const NaProblem& p, const Strides& s, Visit visit) {
  int64_t dense = 0;
  for (int64_t b = 0; b < p.batch; ++b)
    for (int64_t y = 0; y < p.height; ++y)
      for (int64_t x = 0; x < p.width; ++x)
        for (int64_t m = 0; m < p.heads; ++m)
          for (int64_t d = 0; d < p.head_dim; ++d)
            visit(dense++, b * s.b + y * s.y + x * s.x + m * s.m + d);
}

// Three views, of one packed buffer or of their own ones.
template <typename T>
class Triple {
 public:
  Triple(const Case& c) : problem_(c.problem) {
    const NaProblem& p = c.problem;
    const int64_t token = p.heads * p.head_dim, step = c.packed ? 3 * token : token + c.gap;
    strides_ = {p.height * p.width * step, p.width * step, step, p.head_dim};
    const int64_t size = p.batch * strides_.b;
    for (int i = 0; i < (c.packed ? 1 : 3); ++i) buffers_[i].assign(size, canary());
    for (int i = 0; i < 3; ++i) data_[i] = c.packed ? buffers_[0].data() + i * token : buffers_[i].data();
  }

  View<T> operator[](int i) { return {data_[i], strides_}; }

  void set(int i, const Doubles& values) {
    for_each_element(problem_, strides_, [&](int64_t dense, int64_t at) { data_[i][at] = narrow<T>(values[dense]); });
  }
  Doubles get(int i) const {
    Doubles values(problem_.size());
    for_each_element(problem_, strides_, [&](int64_t dense, int64_t at) { values[dense] = widen(data_[i][at]); });
    return values;
  }
  // Elements that belong to no view are as they were.
  bool gaps_untouched() {
    for (int i = 0; i < 3; ++i)
      for_each_element(problem_, strides_, [&](int64_t, int64_t at) { data_[i][at] = canary(); });
    const T expected = canary();
    for (const auto& buffer : buffers_)
      for (const T& x : buffer)
        if (memcmp(&x, &expected, sizeof(T)) != 0) return false;
    return true;
  }

  static T canary() {
    T value;
    memset(&value, 0xff, sizeof(T));
    return value;
  }

 private:
  NaProblem problem_;
  Strides strides_;
  std::vector<T> buffers_[3];
  T* data_[3];
};

template <typename T>
struct Inputs {
  Doubles q, k, v, grad_out, bias;  // as rounded to T, the bias to Compute<T>

  explicit Inputs(const Case& c) {
    std::mt19937 random(c.seed);
    std::normal_distribution<double> normal;
    const auto draw = [&](Doubles& values, int64_t count) {
      values.resize(count);
      for (double& x : values) x = widen(narrow<T>(normal(random)));
    };
    const NaProblem& p = c.problem;
    draw(q, p.size()), draw(k, p.size()), draw(v, p.size()), draw(grad_out, p.size());
    if (!c.bias) return;
    draw(bias, p.heads * p.table());
    for (double& x : bias) x = narrow<Compute<T>>(x);
  }
};

struct Results {
  Doubles out, lse, grad_q, grad_k, grad_v, grad_bias;
  bool operator==(const Results& o) const {
    const auto same = [](const Doubles& a, const Doubles& b) {
      return a.size() == b.size() && (a.empty() || memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0);
    };
    return same(out, o.out) && same(lse, o.lse) && same(grad_q, o.grad_q) && same(grad_k, o.grad_k) &&
           same(grad_v, o.grad_v) && same(grad_bias, o.grad_bias);
  }
};

template <typename T>
Doubles widened(const std::vector<T>& values) {
  Doubles result;
  for (const T& x : values) result.push_back(widen(x));
  return result;
}

template <typename T>
Results run(const Case& c, const Inputs<T>& in) {
  using C = Compute<T>;
  const NaProblem& p = c.problem;
  const Na2dShape shape{p.batch,    p.height,   p.width,      p.heads,     p.head_dim,
                        p.window_y, p.window_x, p.dilation_y, p.dilation_x};
  Triple<T> qkv(c), grads(c);
  qkv.set(0, in.q), qkv.set(1, in.k), qkv.set(2, in.v);
  const std::vector<C> bias(in.bias.begin(), in.bias.end());
  std::vector<T> out(p.size(), Triple<T>::canary());
  std::vector<C> lse(p.tokens(), Triple<C>::canary());
  const auto status_is_zero = [&](int status, const char* what) {
    if (status != 0) fail(c, std::string(what) + ": " + simt::last_error());
  };

  const Na2dForward<T> forward{shape,          static_cast<C>(p.scale), qkv[0].data,
                               qkv[1].data,    qkv[2].data,             qkv[0].strides,
                               qkv[1].strides, qkv[2].strides,          c.bias ? bias.data() : nullptr,
                               out.data(),     c.lse ? lse.data() : nullptr};
  status_is_zero(na2d::forward_cuda(forward, nullptr), "forward");
  Results r;
  r.out = widened(out);
  if (!c.lse) return r;
  r.lse = widened(lse);

  Case spaced = c;
  spaced.packed = false;
  Triple<T> grad_out(spaced);
  grad_out.set(0, in.grad_out);
  std::vector<C> grad_bias(c.bias_grad ? bias.size() : 0, Triple<C>::canary());
  const Na2dBackward<T> backward{shape,
                                 static_cast<C>(p.scale),
                                 qkv[0].data,
                                 qkv[1].data,
                                 qkv[2].data,
                                 qkv[0].strides,
                                 qkv[1].strides,
                                 qkv[2].strides,
                                 c.bias ? bias.data() : nullptr,
                                 lse.data(),
                                 out.data(),
                                 grad_out[0].data,
                                 grad_out[0].strides,
                                 grads[0].data,
                                 grads[1].data,
                                 grads[2].data,
                                 grads[0].strides,
                                 grads[1].strides,
                                 grads[2].strides,
                                 c.bias_grad ? grad_bias.data() : nullptr};
  std::vector<double> workspace((na2d::backward_cuda_workspace(backward) + 7) / 8, NAN);
  status_is_zero(na2d::backward_cuda(backward, workspace.data(), nullptr), "backward");
  r.grad_q = grads.get(0), r.grad_k = grads.get(1), r.grad_v = grads.get(2);
  r.grad_bias = widened(grad_bias);
  if (!grads.gaps_untouched()) fail(c, "wrote outside the gradients");
  return r;
}

// Variances of the rounding errors, each uniform and independent: of the weights and the score gradients where they
// enter products in T, of `out` where delta is computed from it, and of the results.
struct Noise {
  Doubles out, grad_q, grad_k, grad_v, grad_bias;
};

template <typename T>
Noise noise(const Case& c, const Inputs<T>& in, const Results& exact) {
  const NaProblem& p = c.problem;
  const int64_t n = p.head_dim;
  const double unit = Type<T>::rounding * Type<T>::rounding / 3;
  Noise noise{Doubles(p.size()), Doubles(p.size()), Doubles(p.size()), Doubles(p.size()), Doubles(in.bias.size())};
  const auto add_rounding = [&](Doubles& variance, const Doubles& values) {
    for (size_t i = 0; i < values.size(); ++i) variance[i] += unit * values[i] * values[i];
  };
  const auto weight_of = [&](int64_t query, int64_t key, int64_t at) {
    double score = p.scale * smalti_test::dot(&in.q[query * n], &in.k[key * n], n);
    if (c.bias) score += in.bias[at];
    return std::exp(score - exact.lse[query]);
  };
  smalti_test::for_each_query(
      p,
      [&](int64_t query, int64_t key, int64_t at) {
        const double weight = weight_of(query, key, at);
        for (int64_t d = 0; d < n; ++d)
          noise.out[query * n + d] += unit * weight * weight * in.v[key * n + d] * in.v[key * n + d];
      },
      [](int64_t) {});
  add_rounding(noise.out, exact.out);
  Doubles mean_key(n);
  const auto variance_of_delta = [&](int64_t query) {
    double variance = 0;
    for (int64_t i = query * n; i < query * n + n; ++i) variance += in.grad_out[i] * in.grad_out[i] * noise.out[i];
    return variance;
  };
  smalti_test::for_each_query(
      p,
      [&](int64_t query, int64_t key, int64_t at) {
        const double weight = weight_of(query, key, at), delta_variance = variance_of_delta(query);
        const double* g = &in.grad_out[query * n];
        const double grad = weight * (smalti_test::dot(g, &in.v[key * n], n) -
                                      smalti_test::dot(g, &exact.out[query * n], n));
        const double rounded = unit * grad * grad, shifted = weight * weight * delta_variance;
        for (int64_t d = 0; d < n; ++d) {
          const double q = p.scale * in.q[query * n + d], k = p.scale * in.k[key * n + d];
          mean_key[d] += weight * k;
          noise.grad_q[query * n + d] += rounded * k * k;
          noise.grad_k[key * n + d] += (rounded + shifted) * q * q;
          noise.grad_v[key * n + d] += unit * weight * weight * g[d] * g[d];
        }
        if (c.bias) noise.grad_bias[at] += shifted;
      },
      [&](int64_t query) {
        const double delta_variance = variance_of_delta(query);
        for (int64_t d = 0; d < n; ++d) {
          noise.grad_q[query * n + d] += delta_variance * mean_key[d] * mean_key[d];
          mean_key[d] = 0;
        }
      });
  add_rounding(noise.grad_q, exact.grad_q);
  add_rounding(noise.grad_k, exact.grad_k);
  add_rounding(noise.grad_v, exact.grad_v);
  return noise;
}

double worst_ratio = 0;  // of an error to its tolerance

void compare(const Case& c, const char* what, const Doubles& got, const Doubles& expected, const Doubles* variance,
             double slack) {
  if (got.size() != expected.size()) fail(c, std::string(what) + ": wrong size");
  double largest = 1;
  for (double x : expected) largest = std::max(largest, std::fabs(x));
  for (size_t i = 0; i < got.size(); ++i) {
    const double tolerance = slack * largest + (variance ? 7 * std::sqrt((*variance)[i]) : 0);
    const double ratio = std::fabs(got[i] - expected[i]) / tolerance;
    if (!(ratio <= 1)) {
      char text[160];
      snprintf(text, sizeof(text), "%s[%zu] = %.9g, expected %.9g, tolerance %.2g", what, i, got[i], expected[i],
               tolerance);
      fail(c, text);
    }
    worst_ratio = std::max(worst_ratio, ratio);
  }
}

template <typename T>
void check(const Case& c) {
  const Inputs<T> in(c);
  const NaProblem& p = c.problem;
  const auto forward = smalti_test::na2d_forward_reference(p, in.q, in.k, in.v, in.bias);
  const auto backward = smalti_test::na2d_backward_reference(p, in.q, in.k, in.v, in.bias, in.grad_out);
  const Results exact{forward.out, forward.lse, backward.q, backward.k, backward.v, backward.bias};
  const Noise noisy = noise<T>(c, in, exact);

  simt::set_order(simt::Order::kForward);
  const Results got = run<T>(c, in);
  const double slack = Type<T>::slack;
  compare(c, "out", got.out, exact.out, &noisy.out, slack);
  if (c.lse) {
    compare(c, "lse", got.lse, exact.lse, nullptr, slack);
    compare(c, "grad_q", got.grad_q, exact.grad_q, &noisy.grad_q, slack);
    compare(c, "grad_k", got.grad_k, exact.grad_k, &noisy.grad_k, slack);
    compare(c, "grad_v", got.grad_v, exact.grad_v, &noisy.grad_v, slack);
    if (c.bias_grad) compare(c, "grad_bias", got.grad_bias, exact.grad_bias, &noisy.grad_bias, slack);
  }
  simt::set_order(simt::Order::kBackward);
  if (!(run<T>(c, in) == got)) fail(c, "depends on the order of threads (backward)");
  simt::set_order(simt::Order::kShuffled, c.seed + 1);
  if (!(run<T>(c, in) == got)) fail(c, "depends on the order of threads (shuffled)");
}

// Tokens are few, for the machine is slow: windows and dilations that need more are drawn less often.
Case random_case(unsigned seed, int type, int64_t most_tokens) {
  std::mt19937 random(seed);
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  Case c{};
  NaProblem& p = c.problem;
  do {
    p.batch = below(8) == 0 ? 0 : 1 + below(4) / 3;
    p.heads = 1 + below(2);
    p.window_y = 1 + 2 * below(7);
    p.window_x = below(2) ? p.window_y : 1 + 2 * below(7);
    p.dilation_y = 1 + below(3) * below(2), p.dilation_x = 1 + below(3) * below(2);
    const int room = below(3) == 0 ? 20 : 10;
    p.height = p.window_y * p.dilation_y + below(room), p.width = p.window_x * p.dilation_x + below(room);
  } while (p.batch * p.heads * p.height * p.width > most_tokens);
  const int dims[] = {32, 32, 16, 64, 64, 128, 5, 40};
  p.head_dim = dims[below(8)];
  p.scale = below(4) ? 1 / std::sqrt(static_cast<double>(p.head_dim)) : 0.3;
  c.bias = below(3) > 0;
  c.bias_grad = c.bias && below(4) > 0;
  c.lse = below(8) > 0;
  c.packed = below(2);
  const int gaps[] = {0, 8, 3};
  c.gap = gaps[below(3)];
  c.seed = seed, c.type = type;
  return c;
}

// Cases that random ones are too small for: tiles far from every border, with windows of all sizes, and boxes in bands.
std::vector<Case> large_cases() {
  std::vector<Case> cases;
  const auto add = [&](int type, int height, int width, int head_dim, int window_y, int window_x, int dilation_x = 1,
                       bool bias = true) {
    const double scale = 1 / std::sqrt(static_cast<double>(head_dim));
    const NaProblem problem{1, height, width, 1, head_dim, window_y, window_x, 1, dilation_x, scale};
    cases.push_back({problem, bias, bias, true, true, 0, static_cast<unsigned>(1000 + cases.size()), type, ""});
  };
  add(kF16, 26, 27, 32, 7, 7);
  add(kBf16, 27, 25, 64, 7, 5);
  add(kF16, 19, 40, 32, 3, 3, 2, false);
  add(kBf16, 28, 29, 32, 9, 9);
  add(kF16, 34, 33, 32, 11, 11);
  add(kBf16, 38, 37, 32, 13, 13);
  add(kF16, 28, 28, 64, 13, 13);
  add(kBf16, 9, 17, 64, 1, 1);
  add(kF16, 26, 25, 16, 7, 7);
  add(kBf16, 22, 24, 16, 13, 11);
  add(kBf16, 25, 26, 128, 7, 7);
  add(kF16, 21, 21, 128, 13, 13);
  add(kF32, 26, 27, 32, 7, 7);
  add(kF32, 24, 21, 64, 7, 9);
  add(kF32, 18, 36, 16, 5, 5, 2);
  add(kF32, 21, 21, 16, 13, 13);
  add(kF32, 21, 21, 32, 13, 13, 1, false);
  add(kF32, 21, 17, 64, 13, 13);
  add(kF32, 20, 19, 128, 7, 7);
  add(kF32, 17, 21, 128, 13, 13);
  return cases;
}

void check_any(Case c) {
  const NaProblem& p = c.problem;
  char name[200];
  snprintf(name, sizeof(name), "case %u %s B%d %dx%d M%d D%d window %dx%d dilation %dx%d%s%s%s gap %d", c.seed,
           kTypes[c.type], static_cast<int>(p.batch), static_cast<int>(p.height), static_cast<int>(p.width),
           static_cast<int>(p.heads), static_cast<int>(p.head_dim), static_cast<int>(p.window_y),
           static_cast<int>(p.window_x), static_cast<int>(p.dilation_y), static_cast<int>(p.dilation_x),
           c.bias ? " bias" : "", c.bias_grad ? " with gradient" : "", c.packed ? " packed" : "", c.gap);
  c.name = name;
  if (getenv("VERBOSE")) puts(name);
  if (c.type == kF32) check<float>(c);
  if (c.type == kF64) check<double>(c);
  if (c.type == kBf16) check<bf16>(c);
  if (c.type == kF16) check<f16>(c);
}

}  // namespace

int main(int argc, char** argv) {
  const int cases = argc > 1 ? atoi(argv[1]) : 90;
  for (int i = 0; i < cases; ++i) {
    const int types[] = {kF32, kF64, kBf16, kF16, kF32, kBf16, kF32, kF16};
    check_any(random_case(static_cast<unsigned>(i), types[i % 8], 700));
  }
  const std::vector<Case> large = large_cases();
  for (const Case& c : large) check_any(c);
  printf("na2d_cuda: %zu cases agree, worst error %.2f of its tolerance\n", cases + large.size(), worst_ratio);
  return 0;
}
