// The CPU kernels of multi-scale deformable attention against the definition: seeded random cases for every element
// type and every instruction set of this CPU.
//
// Build: compile ms_deform_attn/cpu/kernel.cpp once per instruction set (flags: see ops/build) and link all three.
// Usage: deform_cpu [cases] [seed]
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "../ms_deform_attn/cpu/kernel.h"
#include "deform_reference.h"

namespace {

using namespace smalti;
using Doubles = std::vector<double>;

// Conversions of element types. Cases are drawn in their type, so that the reference sees the kernel's inputs.
template <typename T>
struct Type;
template <>
struct Type<float> {
  static constexpr const char* name = "f32";
  static constexpr double roundoff = 0x1p-24, smallest = 0x1p-149;
  static double widen(float v) { return v; }
  static float narrow(double v) { return static_cast<float>(v); }
};
template <>
struct Type<double> {
  static constexpr const char* name = "f64";
  static constexpr double roundoff = 0x1p-53, smallest = 0x1p-1074;
  static double widen(double v) { return v; }
  static double narrow(double v) { return v; }
};
template <>
struct Type<bf16> {
  static constexpr const char* name = "bf16";
  static constexpr double roundoff = 0x1p-8, smallest = 0x1p-133;
  static double widen(bf16 v) {
    const uint32_t bits = uint32_t{v.bits} << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
  }
  static bf16 narrow(double v) {  // towards zero: any value will do
    const float value = static_cast<float>(v);
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return {static_cast<uint16_t>(std::isnan(v) ? 0x7fc0 : bits >> 16)};
  }
};
template <>
struct Type<f16> {
  static constexpr const char* name = "f16";
  static constexpr double roundoff = 0x1p-11, smallest = 0x1p-24;
  static double widen(f16 v) {
    const int exponent = v.bits >> 10 & 31, fraction = v.bits & 1023;
    const double magnitude = exponent == 31  ? (fraction != 0 ? NAN : INFINITY)
                             : exponent == 0 ? std::ldexp(fraction, -24)
                                             : std::ldexp(1024 + fraction, exponent - 25);
    return (v.bits & 0x8000) != 0 ? -magnitude : magnitude;
  }
  static f16 narrow(double v) {
    if (std::isnan(v)) return {0x7e00};
    const uint16_t sign = std::signbit(v) ? 0x8000 : 0;
    const double magnitude = std::fabs(v);
    if (magnitude >= 65536) return {static_cast<uint16_t>(sign | 0x7c00)};
    const int exponent = magnitude < 0x1p-14 ? -14 : std::ilogb(magnitude);
    const int fraction = static_cast<int>(std::ldexp(magnitude, 10 - exponent));  // 0..2047
    return {static_cast<uint16_t>(sign | (fraction < 1024 ? fraction : (exponent + 14) * 1024 + fraction))};
  }
};

// Contiguous inputs as numbers that every type and the arithmetic of the kernels hold exactly.
struct Case {
  std::string text;
  std::vector<DeformLevel> levels;
  DeformShape shape;
  Doubles value, reference, offsets, logits, grad_out;
  double largest_logit = 0;
};

class Draw {
 public:
  explicit Draw(uint64_t seed) : random_(seed) {}
  int64_t below(int64_t count) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(count)); }
  int64_t between(int64_t low, int64_t high) { return low + below(high - low + 1); }
  bool one_in(int64_t count) { return below(count) == 0; }
  double normal() { return normal_(random_); }
  template <size_t N>
  int64_t of(const int64_t (&choices)[N]) {
    return choices[below(N)];
  }

 private:
  std::mt19937_64 random_;
  std::normal_distribution<double> normal_;
};

// Far outside, or nowhere. No two of them add up to a position inside.
double special_reference(Draw& draw) {
  const double choices[] = {NAN, INFINITY, -INFINITY, 1e30, -1e30};
  return choices[draw.below(5)];
}
double special_offset(Draw& draw) {
  const double choices[] = {NAN, INFINITY, -INFINITY, 1e19, -1e19, 3e9, -3e9};
  return choices[draw.below(7)];
}

template <typename T>
Case draw_case(Draw& draw) {
  Case c;
  DeformShape& s = c.shape;
  int64_t start = 0;
  for (int64_t l = draw.between(1, 5); l > 0; --l) {
    const DeformLevel level{draw.between(1, 9), draw.one_in(4) ? 1 : draw.between(1, 16), start};
    c.levels.push_back(level);
    start += level.height * level.width;
  }
  s.level = nullptr;  // set once the case has its place
  s.levels = static_cast<int64_t>(c.levels.size()), s.positions = start;
  s.points = draw.between(1, 8);
  if (draw.one_in(20)) s.points = 256 / s.levels;
  s.batch = draw.one_in(20) ? 0 : draw.between(1, 2), s.heads = draw.between(1, 3);
  s.queries = draw.one_in(20) ? 0 : draw.one_in(5) ? 1 : draw.between(2, 24);
  s.head_dim = draw.one_in(30) ? draw.between(1, 1024) : draw.of({1, 5, 16, 20, 32, 33, 64, 96, 128, 191});

  const int64_t rows = s.batch * s.queries * s.heads, count = s.levels * s.points;
  const double scale = draw.of({1, 1, 1, 0}) != 0 ? 1 : 0x1p-18;  // small: into the subnormal numbers of f16
  const auto fill = [&](int64_t size, const auto& next) {
    Doubles values(size);
    for (double& value : values) value = next();
    return values;
  };
  const auto storable = [&] { return Type<T>::widen(Type<T>::narrow(draw.normal() * scale)); };
  c.value = fill(s.batch * s.positions * s.heads * s.head_dim, storable);
  c.grad_out = fill(rows * s.head_dim, storable);
  const double spread = draw.of({1, 3, 30});
  c.logits = fill(rows * count, [&] { return static_cast<float>(draw.normal() * spread); });
  for (double logit : c.logits) c.largest_logit = std::fmax(c.largest_logit, std::fabs(logit));
  if (draw.one_in(6))  // masked points, never all
    for (int64_t i = 0; i < rows * count; ++i)
      if (i % count != 0 && draw.one_in(3)) c.logits[i] = draw.one_in(2) ? -INFINITY : -1e4;
  // Fractions of 1/64 pixel, so that positions are exact: many on cell borders and on the borders of the level.
  const int64_t step = draw.of({1, 32, 64}), reach = draw.of({1, 4, 30});
  const bool specials = draw.one_in(3);
  c.reference = fill(s.batch * s.queries * s.levels * 2, [&] {
    return specials && draw.one_in(20) ? special_reference(draw) : static_cast<double>(draw.between(-32, 288)) / 256;
  });
  c.offsets = fill(rows * count * 2, [&] {
    return specials && draw.one_in(8) ? special_offset(draw)
                                      : static_cast<double>(draw.between(-64 * reach, 64 * reach) / step * step) / 64;
  });
  c.text = std::string(Type<T>::name) + " B " + std::to_string(s.batch) + " Q " + std::to_string(s.queries) + " M " +
           std::to_string(s.heads) + " D " + std::to_string(s.head_dim) + " L " + std::to_string(s.levels) + " P " +
           std::to_string(s.points);
  return c;
}

// Rows that no point looks at become infinite or NaN: nothing of them may show.
void poison_unseen(Case* c, Draw& draw) {
  const DeformShape& s = c->shape;
  const int64_t count = s.levels * s.points;
  std::vector<char> seen(s.batch * s.positions * s.heads);
  for (int64_t row = 0; row < s.batch * s.queries * s.heads; ++row) {
    const int64_t query = row / s.heads, b = query / s.queries;
    for (const auto& point : reference::deform_points(s, &c->reference[query * s.levels * 2],
                                                      &c->offsets[row * count * 2], &c->logits[row * count]))
      for (int64_t corner : point.corner)
        if (corner >= 0) seen[(b * s.positions + corner) * s.heads + row % s.heads] = 1;
  }
  for (size_t i = 0; i < c->value.size(); ++i)
    if (seen[i / s.head_dim] == 0) c->value[i] = draw.one_in(2) ? INFINITY : NAN;
}

// An output between canary bytes, filled with NaN bits.
template <typename T>
class Output {
 public:
  explicit Output(size_t count) : count_(count), bytes_(count * sizeof(T) + 2 * kGuard, 0xff) {}
  T* data() { return reinterpret_cast<T*>(bytes_.data() + kGuard); }
  T operator[](size_t i) const {
    T value;
    memcpy(&value, bytes_.data() + kGuard + i * sizeof(T), sizeof value);
    return value;
  }
  bool intact() const {
    for (size_t i = 0; i < kGuard; ++i)
      if (bytes_[i] != 0xff || bytes_[bytes_.size() - 1 - i] != 0xff) return false;
    return true;
  }
  size_t size() const { return count_; }
  bool operator==(const Output& other) const { return bytes_ == other.bytes_; }

 private:
  static constexpr size_t kGuard = 192;
  size_t count_;
  std::vector<unsigned char> bytes_;
};

template <typename T>
std::vector<T> in_type(const Doubles& values) {
  std::vector<T> result;
  for (double value : values) result.push_back(Type<T>::narrow(value));
  return result;
}

Doubles absolute(Doubles values) {
  for (double& value : values) value = std::fabs(value);
  return values;
}

int failures = 0;

void fail(const Case& c, const char* isa, const std::string& what) {
  ++failures;
  if (failures <= 20) std::fprintf(stderr, "FAILED %s %s: %s\n", isa, c.text.c_str(), what.c_str());
}

// Sums of `terms` numbers whose magnitudes add up to `magnitude`, rounded to T at the end.
template <typename T, typename O>
void compare(const Case& c, const char* isa, const char* what, const O& got, const Doubles& expected,
             const Doubles& magnitude, int64_t terms) {
  if (!got.intact()) fail(c, isa, std::string(what) + ": wrote out of bounds");
  // Softmax: a logit's rounding times its size; corners, normalisation, the polynomial: some more roundings.
  const double arithmetic =
      (static_cast<double>(terms) + 2 * c.largest_logit + 40) * Type<Compute<T>>::roundoff;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double value = Type<T>::widen(got[i]);
    const double tolerance = arithmetic * magnitude[i] + Type<T>::roundoff * std::fabs(expected[i]) * 1.001 +
                             Type<T>::smallest + static_cast<double>(terms) * 0x1p-126;
    if (std::fabs(value - expected[i]) <= tolerance) continue;
    char text[160];
    std::snprintf(text, sizeof text, "%s[%zu] is %.9g, expected %.9g +- %.3g", what, i, value, expected[i], tolerance);
    fail(c, isa, text);
    return;
  }
}

struct Expected {
  Doubles out, out_size, value, value_size, offsets, offsets_size, logits, logits_size;

  explicit Expected(const Case& c)
      : out(c.grad_out.size()), out_size(out.size()), value(c.value.size()), value_size(value.size()),
        offsets(c.offsets.size()), offsets_size(offsets.size()), logits(c.logits.size()), logits_size(logits.size()) {
    Doubles points(c.reference.size());
    const Doubles values = absolute(c.value), grads = absolute(c.grad_out);
    const double *reference = c.reference.data(), *offset = c.offsets.data(), *logit = c.logits.data();
    reference::deform_forward(c.shape, c.value.data(), reference, offset, logit, out.data());
    reference::deform_forward(c.shape, values.data(), reference, offset, logit, out_size.data());
    reference::deform_backward(c.shape, c.value.data(), reference, offset, logit, c.grad_out.data(), value.data(),
                               points.data(), offsets.data(), logits.data());
    reference::deform_backward(c.shape, values.data(), reference, offset, logit, grads.data(), value_size.data(),
                               points.data(), offsets_size.data(), logits_size.data(),
                               reference::DeformSigns::Magnitude);
  }
};

template <typename T>
struct Outputs {
  using C = Compute<T>;
  Output<T> out, value;
  Output<C> offsets, logits;

  explicit Outputs(const Case& c)
      : out(c.grad_out.size()), value(c.value.size()), offsets(c.offsets.size()), logits(c.logits.size()) {}
  bool operator==(const Outputs& o) const {
    return out == o.out && value == o.value && offsets == o.offsets && logits == o.logits;
  }
};

// The case in its type, the value at drawn strides with NaN in the gaps.
template <typename T>
struct Inputs {
  using C = Compute<T>;
  DeformShape shape;
  std::vector<T> value, grad_out;
  std::vector<C> reference, offsets, logits;

  Inputs(const Case& c, Draw& draw)
      : shape(c.shape), grad_out(in_type<T>(c.grad_out)), reference(in_type<C>(c.reference)),
        offsets(in_type<C>(c.offsets)), logits(in_type<C>(c.logits)) {
    DeformShape& s = shape;
    const int64_t gap = draw.of({0, 0, 3});
    if (draw.one_in(3)) {  // [B, M, S, D]
      s.value_s = s.head_dim + gap, s.value_m = s.positions * s.value_s + gap, s.value_b = s.heads * s.value_m;
    } else {
      s.value_m = s.head_dim + gap, s.value_s = s.heads * s.value_m + gap, s.value_b = s.positions * s.value_s + gap;
    }
    const int64_t last = (s.batch - 1) * s.value_b + (s.positions - 1) * s.value_s + (s.heads - 1) * s.value_m;
    value.assign(s.batch > 0 ? last + s.head_dim : 0, Type<T>::narrow(NAN));
    for (size_t i = 0; i < c.value.size(); ++i) {
      const int64_t row = static_cast<int64_t>(i) / s.head_dim, d = static_cast<int64_t>(i) % s.head_dim;
      const int64_t m = row % s.heads, at = row / s.heads % s.positions, b = row / (s.heads * s.positions);
      value[b * s.value_b + at * s.value_s + m * s.value_m + d] = Type<T>::narrow(c.value[i]);
    }
  }

  // Units in runs of at most `run`.
  void compute(const DeformKernels<T>& kernels, int64_t run, Outputs<T>* to) const {
    const DeformForward<T> forward{shape,          value.data(),  reference.data(),
                                   offsets.data(), logits.data(), to->out.data()};
    const DeformBackward<T> backward{shape,
                                     value.data(),
                                     reference.data(),
                                     offsets.data(),
                                     logits.data(),
                                     grad_out.data(),
                                     to->value.data(),
                                     to->offsets.data(),
                                     to->logits.data()};
    const auto in_runs = [&](int64_t units, const auto& body) {
      for (int64_t end = units; end > 0; end -= run) body(std::max<int64_t>(end - run, 0), end);
    };
    in_runs(shape.batch * shape.queries, [&](int64_t begin, int64_t end) { kernels.forward(forward, begin, end); });
    in_runs(shape.batch * shape.heads, [&](int64_t begin, int64_t end) { kernels.backward(backward, begin, end); });
  }
};

template <typename T>
struct Isa {
  const char* name;
  const DeformKernels<T>* kernels;
};

template <typename T>
void check(uint64_t seed, const std::vector<Isa<T>>& isas) {
  Draw draw(seed);
  Case c = draw_case<T>(draw);
  c.shape.level = c.levels.data();
  if (draw.one_in(3)) poison_unseen(&c, draw);
  const Expected expected(c);
  const Inputs<T> inputs(c, draw);
  const int64_t run = draw.between(1, 7), count = c.shape.levels * c.shape.points;
  for (const Isa<T>& isa : isas) {
    Outputs<T> whole(c), split(c);
    inputs.compute(*isa.kernels, std::numeric_limits<int64_t>::max() / 2, &whole);
    inputs.compute(*isa.kernels, run, &split);
    if (!(whole == split)) fail(c, isa.name, "depends on how units are split");
    using C = Compute<T>;
    compare<T>(c, isa.name, "out", whole.out, expected.out, expected.out_size, 4 * count);
    compare<T>(c, isa.name, "grad_value", whole.value, expected.value, expected.value_size,
               4 * count * c.shape.queries);
    const int64_t terms = c.shape.head_dim + count;
    compare<C>(c, isa.name, "grad_offsets", whole.offsets, expected.offsets, expected.offsets_size, terms);
    compare<C>(c, isa.name, "grad_logits", whole.logits, expected.logits, expected.logits_size, terms);
  }
}

// Every bit pattern of a half type through a level of one pixel, read at its centre: what is stored comes back.
template <typename T>
void check_every_half(const std::vector<Isa<T>>& isas) {
  const DeformLevel level{1, 1, 0};
  for (int64_t dim : {1, 64}) {
    const DeformShape s{65536 / dim, 1, 1, 1, dim, 1, 1, &level, dim, dim, dim};
    std::vector<T> value;
    for (int i = 0; i < 65536; ++i) value.push_back({static_cast<uint16_t>(i)});
    const std::vector<float> reference(s.batch * 2, 0.5f), offsets(s.batch * 2), logits(s.batch);
    for (const Isa<T>& isa : isas) {
      std::vector<T> out(65536);
      isa.kernels->forward({s, value.data(), reference.data(), offsets.data(), logits.data(), out.data()}, 0, s.batch);
      for (int i = 0; i < 65536; ++i) {
        const double got = Type<T>::widen(out[i]), expected = Type<T>::widen(value[i]);
        if (got == expected || (std::isnan(got) && std::isnan(expected))) continue;
        Case c;
        c.text = Type<T>::name;
        fail(c, isa.name, "bits " + std::to_string(i) + " come back as " + std::to_string(out[i].bits));
        break;
      }
    }
  }
}

template <typename T>
std::vector<Isa<T>> isas(const DeformKernels<T>& baseline, const DeformKernels<T>& avx2,
                         const DeformKernels<T>& avx512) {
  std::vector<Isa<T>> result{{"baseline", &baseline}};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c"))
    result.push_back({"avx2", &avx2});
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw"))
    result.push_back({"avx512", &avx512});
  return result;
}

}  // namespace

int main(int count, char** arguments) {
  const int64_t cases = count > 1 ? std::atoll(arguments[1]) : 240;
  const uint64_t seed = count > 2 ? std::strtoull(arguments[2], nullptr, 10) : 1;
  const auto f32 = isas(baseline::deform_f32, avx2::deform_f32, avx512::deform_f32);
  const auto f64 = isas(baseline::deform_f64, avx2::deform_f64, avx512::deform_f64);
  const auto b16 = isas(baseline::deform_bf16, avx2::deform_bf16, avx512::deform_bf16);
  const auto h16 = isas(baseline::deform_f16, avx2::deform_f16, avx512::deform_f16);
  for (int64_t i = 0; i < cases; ++i) {
    const uint64_t base = (seed * 1000003 + static_cast<uint64_t>(i)) * 4;
    check(base, f32), check(base + 1, f64), check(base + 2, b16), check(base + 3, h16);
  }
  check_every_half(b16), check_every_half(h16);
  std::printf("ms_deform_attn cpu: %lld cases x 4 types x %zu instruction sets, %d failures\n",
              static_cast<long long>(cases), f32.size(), failures);
  return failures == 0 ? 0 : 1;
}
