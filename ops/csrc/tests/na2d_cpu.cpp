// Checks the CPU kernels of 2D neighborhood attention against their definition: random shapes, every element type,
// every instruction set that this machine has. Links neighborhood_attention/cpu/kernel.cpp once per instruction set, and
// units.cpp. Takes the number of cases. Exits with 1 on the first failure.
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "../neighborhood_attention/cpu/kernel.h"
#include "na2d_reference.h"

namespace {

using namespace smalti;
using namespace smalti_test;

// Storage types: rounding from double, widening, and the distance of neighbours relative to their size.
template <typename T>
struct Storage {
  static constexpr double unit = sizeof(T) == 8 ? DBL_EPSILON : FLT_EPSILON;
  static constexpr double smallest = 0;
  static T from(double x) { return static_cast<T>(x); }
  static double to(T x) { return static_cast<double>(x); }
};
template <>
struct Storage<bf16> {
  static constexpr double unit = 0x1p-7;
  static constexpr double smallest = 0;
  static bf16 from(double x) {
    const float narrow = static_cast<float>(x);
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof(bits));
    return {static_cast<uint16_t>((bits + 0x8000u) >> 16)};
  }
  static double to(bf16 x) {
    const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
    float wide;
    memcpy(&wide, &bits, sizeof(wide));
    return wide;
  }
};
template <>
struct Storage<f16> {
  static constexpr double unit = 0x1p-10;
  static constexpr double smallest = 0x1p-24;  // subnormals have absolute steps
  static f16 from(double x) {
    const int exponent = x == 0 ? -14 : std::max(std::ilogb(x), -14);
    const double steps = std::nearbyint(std::fabs(std::ldexp(x, 10 - exponent)));
    // A mantissa of 2^11 carries into the exponent by itself.
    const int bits = static_cast<int>(steps) + ((exponent + 14) << 10);
    return {static_cast<uint16_t>(bits | (std::signbit(x) ? 0x8000 : 0))};
  }
  static double to(f16 x) {
    const int exponent = x.bits >> 10 & 31, mantissa = x.bits & 1023;
    const double size = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
    return x.bits & 0x8000 ? -size : size;
  }
};

using Random = std::mt19937_64;
int64_t pick(Random& random, int64_t low, int64_t high) {
  return low + static_cast<int64_t>(random() % static_cast<uint64_t>(high - low + 1));
}

// An output with canaries around it, filled with a pattern, so that a write out of place or a missing one shows.
template <typename T>
class Guarded {
 public:
  explicit Guarded(int64_t size) : bytes_((size + 2 * kMargin) * sizeof(T), kPattern) {}
  T* data() { return reinterpret_cast<T*>(bytes_.data()) + kMargin; }
  bool intact() const {
    const size_t margin = kMargin * sizeof(T);
    for (size_t i = 0; i < margin; ++i)
      if (bytes_[i] != kPattern || bytes_[bytes_.size() - 1 - i] != kPattern) return false;
    return true;
  }
  bool same_bits(const Guarded& other) const { return bytes_ == other.bytes_; }

 private:
  static constexpr int64_t kMargin = 64;
  static constexpr unsigned char kPattern = 0xa5;
  std::vector<unsigned char> bytes_;
};

// A [B, H, W, M, D] tensor inside a larger one: either contiguous or one of `parts` of each token.
struct View {
  int64_t offset;
  Strides strides;
};
View view_of(const NaProblem& p, int64_t parts, int64_t part) {
  const int64_t token = parts * p.heads * p.head_dim;
  return {part * p.heads * p.head_dim, {p.height * p.width * token, p.width * token, token, p.head_dim}};
}
template <typename Visit>
void for_each_element(const NaProblem& p, const View& view, Visit visit) {
  const Strides& s = view.strides;
  int64_t at = 0;
  for (int64_t b = 0; b < p.batch; ++b)
    for (int64_t y = 0; y < p.height; ++y)
      for (int64_t x = 0; x < p.width; ++x)
        for (int64_t m = 0; m < p.heads; ++m)
          for (int64_t d = 0; d < p.head_dim; ++d, ++at)
            visit(at, view.offset + b * s.b + y * s.y + x * s.x + m * s.m + d);
}

struct Case {
  NaProblem p;
  bool packed, bias, bias_gradient, lse;
  uint64_t seed;
};

std::string name(const Case& c) {
  char text[256];
  std::snprintf(text, sizeof(text), "B%ld %ldx%ld M%ld D%ld window %ldx%ld dilation %ldx%ld%s%s", (long)c.p.batch,
                (long)c.p.height, (long)c.p.width, (long)c.p.heads, (long)c.p.head_dim, (long)c.p.window_y,
                (long)c.p.window_x, (long)c.p.dilation_y, (long)c.p.dilation_x, c.packed ? " packed" : "",
                c.bias ? " bias" : "");
  return text;
}

Case random_case(Random& random, int number) {
  constexpr int64_t kWindows[] = {1, 3, 5, 7, 7, 9, 11, 13}, kDims[] = {1, 5, 8, 16, 20, 32, 64, 128};
  Case c;
  NaProblem& p = c.p;
  p.window_y = kWindows[pick(random, 0, 7)];
  p.window_x = pick(random, 0, 2) == 0 ? kWindows[pick(random, 0, 7)] : p.window_y;
  p.dilation_y = pick(random, 0, 1) == 0 ? 1 : pick(random, 1, 4);
  p.dilation_x = pick(random, 0, 1) == 0 ? p.dilation_y : pick(random, 1, 4);
  // From the smallest class upward; now and then wide enough for tiles that touch no border, or for several slabs.
  p.height = p.window_y * p.dilation_y + pick(random, 0, number % 8 == 0 ? 24 : 7);
  p.width = p.window_x * p.dilation_x + pick(random, 0, number % 5 == 0 ? 40 : 9);
  p.batch = number % 40 == 7 ? 0 : pick(random, 1, 2);
  p.heads = pick(random, 1, 3);
  p.head_dim = kDims[pick(random, 0, 7)];
  while (p.batch > 0 && p.size() * p.window_y * p.window_x > 1500000 && p.head_dim > 8) p.head_dim /= 2;
  p.scale = 1 / std::sqrt(static_cast<double>(p.head_dim));
  c.packed = pick(random, 0, 1) == 1;
  c.bias = pick(random, 0, 2) > 0;
  c.bias_gradient = c.bias && pick(random, 0, 3) > 0;
  c.lse = pick(random, 0, 3) > 0;
  c.seed = random();
  return c;
}

// Inputs of a case in one element type, and the results of the definition on exactly these inputs.
template <typename T>
struct Inputs {
  std::vector<T> q, k, v, grad_out;
  std::vector<Compute<T>> bias;
  View views[3];
  NaForwardResult forward;
  NaBackwardResult backward;

  explicit Inputs(const Case& c) {
    const NaProblem& p = c.p;
    Random random(c.seed);
    std::normal_distribution<double> normal;
    Doubles exact[4], table;
    std::vector<T>* to[3] = {&q, &k, &v};
    for (int i = 0; i < 3; ++i) {
      views[i] = view_of(p, c.packed ? 3 : 1, c.packed ? i : 0);
      exact[i].resize(p.size());
    }
    if (c.packed) {
      std::vector<T> all(3 * p.size());
      for (T& x : all) x = Storage<T>::from(normal(random));
      q = k = v = all;
    } else {
      for (std::vector<T>* one : to) {
        one->resize(p.size());
        for (T& x : *one) x = Storage<T>::from(normal(random));
      }
    }
    for (int i = 0; i < 3; ++i)
      for_each_element(p, views[i], [&](int64_t at, int64_t in) { exact[i][at] = Storage<T>::to((*to[i])[in]); });
    for (int64_t i = 0; i < p.size(); ++i) {
      grad_out.push_back(Storage<T>::from(normal(random)));
      exact[3].push_back(Storage<T>::to(grad_out.back()));
    }
    if (c.bias) {
      for (int64_t i = 0; i < p.heads * p.table(); ++i) {
        bias.push_back(static_cast<Compute<T>>(normal(random)));
        table.push_back(static_cast<double>(bias.back()));
      }
    }
    forward = na2d_forward_reference(p, exact[0], exact[1], exact[2], table);
    backward = na2d_backward_reference(p, exact[0], exact[1], exact[2], table, exact[3]);
  }
};

class Failure {};
[[noreturn]] void fail(const Case& c, const char* isa, const char* type, const char* what, double error, double bound) {
  std::printf("FAILED %s %s, %s: %s, error %g, allowed %g\n", isa, type, name(c).c_str(), what, error, bound);
  throw Failure();
}

template <typename T>
struct Results {
  Guarded<T> out, grads[3];  // of q, k, v; all in the first where they are packed
  Guarded<Compute<T>> lse, grad_bias;
  T* grad[3];

  Results(const Case& c, const View* views, int64_t units)
      : out(c.p.size()),
        grads{Guarded<T>((c.packed ? 3 : 1) * c.p.size()), Guarded<T>(c.packed ? 0 : c.p.size()),
              Guarded<T>(c.packed ? 0 : c.p.size())},
        lse(c.p.tokens()),
        grad_bias(units * c.p.table()) {
    for (int i = 0; i < 3; ++i) grad[i] = grads[c.packed ? 0 : i].data() + views[i].offset;
  }
  bool same_bits(const Results& other) const {
    return out.same_bits(other.out) && lse.same_bits(other.lse) && grad_bias.same_bits(other.grad_bias) &&
           grads[0].same_bits(other.grads[0]) && grads[1].same_bits(other.grads[1]) &&
           grads[2].same_bits(other.grads[2]);
  }
  bool intact() const {
    return out.intact() && lse.intact() && grad_bias.intact() && grads[0].intact() && grads[1].intact() &&
           grads[2].intact();
  }
};

template <typename T>
class Check {
 public:
  Check(const Case& c, const Inputs<T>& in, const char* isa, const char* type, const Na2dKernels<T>& kernels)
      : c_(c), in_(in), isa_(isa), type_(type), kernels_(kernels) {
    const NaProblem& p = c.p;
    shape_ = {p.batch, p.height, p.width, p.heads, p.head_dim, p.window_y, p.window_x, p.dilation_y, p.dilation_x};
  }

  double run() {
    const Results<T> whole = results(1), split = results(3);
    if (!whole.same_bits(split)) fail(c_, isa_, type_, "bits depend on the split of units", 0, 0);
    if (!whole.intact() || !split.intact()) fail(c_, isa_, type_, "write outside of an output", 0, 0);
    return worst_;
  }

 private:
  // Runs both passes with the units split in `parts`, and compares everything with the definition.
  Results<T> results(int64_t parts) {
    using C = Compute<T>;
    const NaProblem& p = c_.p;
    const int64_t units = na2d_backward_units(shape_);
    Results<T> r(c_, in_.views, units);
    const View *q = &in_.views[0], *k = &in_.views[1], *v = &in_.views[2], plain = view_of(p, 1, 0);
    const C scale = static_cast<C>(p.scale), *bias = c_.bias ? in_.bias.data() : nullptr;
    const auto each_range = [&](int64_t count, auto run) {
      for (int64_t i = 0; i < parts; ++i) run(count * i / parts, count * (i + 1) / parts);
    };
    Na2dForward<T> forward = {shape_,      scale,      in_.q.data() + q->offset, in_.k.data() + k->offset,
                              in_.v.data() + v->offset, q->strides, k->strides,  v->strides,
                              bias,        r.out.data(), r.lse.data()};
    each_range(na2d_forward_units(shape_), [&](int64_t begin, int64_t end) { kernels_.forward(forward, begin, end); });
    if (!c_.lse) {
      Guarded<T> again(p.size());
      forward.out = again.data(), forward.lse = nullptr;
      kernels_.forward(forward, 0, na2d_forward_units(shape_));
      if (!again.same_bits(r.out)) fail(c_, isa_, type_, "bits depend on the log-sum-exp", 0, 0);
    }
    const Na2dBackward<T> backward = {shape_, scale, in_.q.data() + q->offset, in_.k.data() + k->offset,
                                      in_.v.data() + v->offset, q->strides, k->strides, v->strides, bias,
                                      r.lse.data(), r.out.data(), in_.grad_out.data(), plain.strides,
                                      r.grad[0], r.grad[1], r.grad[2], q->strides, k->strides, v->strides,
                                      c_.bias_gradient ? r.grad_bias.data() : nullptr};
    each_range(units, [&](int64_t begin, int64_t end) { kernels_.backward(backward, begin, end); });
    compare(r, plain);
    return r;
  }

  // Errors are of two kinds: of the arithmetic, relative to the sum of the sizes of what is added up (the number of
  // terms enters as its root), and of rounding the result for storage. The backward
  // pass also reads `out` as rounded, which reaches each gradient by way of delta.
  void compare(Results<T>& r, const View& plain) {
    using C = Compute<T>;
    const NaProblem& p = c_.p;
    const double dim = static_cast<double>(p.head_dim), keys = static_cast<double>(p.window_y * p.window_x);
    const double terms = std::sqrt(dim) + std::sqrt(keys);
    const double arithmetic = terms * (sizeof(C) == 8 ? DBL_EPSILON : FLT_EPSILON);
    const double size = 4;  // few normal numbers are larger
    const double out_rounding = sizeof(T) < sizeof(C) ? Storage<T>::unit / 2 : 0;
    // |grad_out . (error of out)|, as a random sum.
    const double delta_error = 3 * out_rounding * std::sqrt(dim);
    expect(r.out.data(), plain, in_.forward.out, size * arithmetic, "out");
    for (int64_t i = 0; i < p.tokens(); ++i)
      check(static_cast<double>(r.lse.data()[i]), in_.forward.lse[i], size * arithmetic * 4, 0, "log-sum-exp");
    expect(r.grad[0], in_.views[0], in_.backward.q,
           p.scale * size * (std::sqrt(dim) * size * arithmetic + delta_error), "gradient of q");
    const double queries = 4;  // a border key is seen by more queries than a window has keys; weights sum to about one
    expect(r.grad[1], in_.views[1], in_.backward.k,
           p.scale * size * queries * (std::sqrt(dim) * size * arithmetic + delta_error), "gradient of k");
    expect(r.grad[2], in_.views[2], in_.backward.v, size * queries * arithmetic, "gradient of v");
    if (!c_.bias_gradient) return;
    const int64_t classes = p.dilation_y * p.dilation_x, table = p.table();
    const double pairs = static_cast<double>(p.batch * p.height * p.width);
    for (int64_t m = 0; m < p.heads; ++m) {
      for (int64_t i = 0; i < table; ++i) {
        double sum = 0;
        for (int64_t b = 0; b < p.batch; ++b)
          for (int64_t residue = 0; residue < classes; ++residue)
            sum += static_cast<double>(r.grad_bias.data()[((b * p.heads + m) * classes + residue) * table + i]);
        check(sum, in_.backward.bias[m * table + i],
              std::sqrt(pairs) * size * (std::sqrt(dim) * size * arithmetic + delta_error), 0, "gradient of bias");
      }
    }
  }

  void expect(T* data, const View& view, const Doubles& truth, double absolute, const char* what) {
    const double relative = sizeof(T) < sizeof(Compute<T>) ? Storage<T>::unit / 2 : Storage<T>::unit;
    for_each_element(c_.p, view, [&](int64_t at, int64_t in) {
      check(Storage<T>::to(data[in - view.offset]), truth[at], absolute + Storage<T>::smallest, relative, what);
    });
  }

  void check(double value, double truth, double absolute, double relative, const char* what) {
    const double error = std::fabs(value - truth), bound = absolute + relative * std::fabs(truth);
    if (!(error <= bound)) fail(c_, isa_, type_, what, error, bound);
    worst_ = std::fmax(worst_, error / bound);
  }

  const Case& c_;
  const Inputs<T>& in_;
  const char *isa_, *type_;
  const Na2dKernels<T>& kernels_;
  Na2dShape shape_;
  double worst_ = 0;
};

struct Isa {
  const char* name;
  bool supported;
  const Na2dKernels<float>& f32;
  const Na2dKernels<double>& f64;
  const Na2dKernels<bf16>& b16;
  const Na2dKernels<f16>& h16;
};

}  // namespace

int main(int count, char** arguments) {
  const int cases = count > 1 ? std::atoi(arguments[1]) : 360;
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
#else
  const bool avx2 = false, avx512 = false;
#endif
  const Isa isas[] = {
      {"baseline", true, baseline::na2d_f32, baseline::na2d_f64, baseline::na2d_bf16, baseline::na2d_f16},
      {"avx2", avx2, avx2::na2d_f32, avx2::na2d_f64, avx2::na2d_bf16, avx2::na2d_f16},
      {"avx512", avx512, avx512::na2d_f32, avx512::na2d_f64, avx512::na2d_bf16, avx512::na2d_f16}};
  Random random(20240607);
  double worst[4] = {};
  std::string tested;
  for (const Isa& isa : isas)
    if (isa.supported) tested += std::string(" ") + isa.name;
  try {
    for (int i = 0; i < cases; ++i) {
      const Case c = random_case(random, i);
      const Inputs<float> single(c);
      const Inputs<double> twice(c);
      const Inputs<bf16> brain(c);
      const Inputs<f16> half(c);
      for (const Isa& isa : isas) {
        if (!isa.supported) continue;
        worst[0] = std::fmax(worst[0], Check<float>(c, single, isa.name, "f32", isa.f32).run());
        worst[1] = std::fmax(worst[1], Check<double>(c, twice, isa.name, "f64", isa.f64).run());
        worst[2] = std::fmax(worst[2], Check<bf16>(c, brain, isa.name, "bf16", isa.b16).run());
        worst[3] = std::fmax(worst[3], Check<f16>(c, half, isa.name, "f16", isa.h16).run());
      }
    }
  } catch (const Failure&) {
    return 1;
  }
  std::printf("na2d_cpu: %d cases,%s; largest error over allowed: f32 %.2f, f64 %.2f, bf16 %.2f, f16 %.2f\n", cases,
              tested.c_str(), worst[0], worst[1], worst[2], worst[3]);
  return 0;
}
