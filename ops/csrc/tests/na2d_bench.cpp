// Single-thread times of the CPU kernels of 2D neighborhood attention on the shapes of NAT and DiNAT, f32 and bf16,
// over a packed projection [B, H, W, 3, M, D]. The floor of the forward pass is 4 * B*H*W*M * k*k * D operations at the rate
// of a single-thread matrix product (first argument, GFLOP/s; second argument: instruction set); that of forward and
// backward together is 3.5 times as long. Times are minima of several runs.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

#include "../neighborhood_attention/cpu/kernel.h"

namespace {

using namespace smalti;

struct Case {
  int64_t side, heads, window, dilation;
};
constexpr Case kCases[] = {{56, 2, 7, 1},  {56, 2, 7, 8},  {28, 4, 7, 1},  {28, 4, 7, 4},  {14, 8, 7, 1},
                           {14, 8, 7, 2},  {7, 16, 7, 1},  {128, 2, 7, 1}, {128, 2, 7, 16}, {128, 2, 11, 1},
                           {64, 4, 7, 1},  {64, 4, 7, 8},  {64, 4, 11, 1}, {32, 8, 7, 1},  {32, 8, 7, 4},
                           {32, 8, 11, 1}, {16, 16, 7, 1}, {16, 16, 7, 2}, {16, 16, 11, 1}};
constexpr int64_t kBatch = 8, kDim = 32;

float uniform() { return static_cast<float>(rand()) / static_cast<float>(RAND_MAX) - 0.5f; }

void put(float& to, float x) { to = x; }
void put(bf16& to, float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  to.bits = static_cast<uint16_t>(bits >> 16);
}

// Time of this thread on a processor: other programs get in the way less than on a clock on the wall.
double thread_ms() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

template <typename Run>
double best_ms(Run run) {
  double best = 1e30, spent = 0;
  for (int i = 0; i < 50 && (i < 5 || spent < 300); ++i) {
    const double start = thread_ms();
    run();
    const double ms = thread_ms() - start;
    best = ms < best ? ms : best;
    spent += ms;
  }
  return best;
}

struct Times {
  double forward, backward;
};

template <typename T>
Times measure(const Na2dKernels<T>& kernels, const Case& c) {
  const int64_t tokens = kBatch * c.side * c.side * c.heads, table = (2 * c.window - 1) * (2 * c.window - 1);
  std::vector<T> qkv(3 * tokens * kDim), grad_qkv(3 * tokens * kDim), out(tokens * kDim), grad_out(tokens * kDim);
  std::vector<float> bias(c.heads * table), lse(tokens);
  for (T& x : qkv) put(x, uniform());
  for (T& x : grad_out) put(x, uniform());
  for (float& x : bias) x = uniform();

  const int64_t row = c.heads * kDim;
  const Strides packed = {3 * c.side * c.side * row, 3 * c.side * row, 3 * row, kDim};
  const Strides plain = {c.side * c.side * row, c.side * row, row, kDim};
  const Na2dShape shape = {kBatch, c.side, c.side, c.heads, kDim, c.window, c.window, c.dilation, c.dilation};
  std::vector<float> grad_bias(na2d_backward_units(shape) * table);
  const Na2dForward<T> forward = {shape,  0.18f,  qkv.data(),  qkv.data() + row, qkv.data() + 2 * row, packed,
                                  packed, packed, bias.data(), out.data(),       lse.data()};
  const Na2dBackward<T> backward = {shape,           0.18f,       qkv.data(),      qkv.data() + row,
                                    qkv.data() + 2 * row, packed, packed,          packed,
                                    bias.data(),     lse.data(),  out.data(),      grad_out.data(),
                                    plain,           grad_qkv.data(), grad_qkv.data() + row, grad_qkv.data() + 2 * row,
                                    packed,          packed,      packed,          grad_bias.data()};
  Times times;
  times.forward = best_ms([&] { kernels.forward(forward, 0, na2d_forward_units(shape)); });
  times.backward = best_ms([&] { kernels.backward(backward, 0, na2d_backward_units(shape)); });
  return times;
}

}  // namespace

int main(int argc, char** argv) {
  const double rate = argc > 1 ? atof(argv[1]) : 88;
  const char* isa = argc > 2 ? argv[2] : "avx512";
  const bool widest = strcmp(isa, "avx512") == 0, middle = strcmp(isa, "avx2") == 0;
  const Na2dKernels<float>& f32 = widest ? avx512::na2d_f32 : middle ? avx2::na2d_f32 : baseline::na2d_f32;
  const Na2dKernels<bf16>& half = widest ? avx512::na2d_bf16 : middle ? avx2::na2d_bf16 : baseline::na2d_bf16;
  std::printf("%-16s %9s %9s %6s %6s | %9s %9s %6s %6s\n", "map,heads,k,dil", "fwd ms", "bwd ms", "fwd x", "both x",
              "bf16 fwd", "bf16 bwd", "fwd x", "both x");
  for (const Case& c : kCases) {
    const double pairs = static_cast<double>(kBatch * c.side * c.side * c.heads * c.window * c.window);
    const double floor = 4 * pairs * kDim / (rate * 1e6);
    const Times a = measure(f32, c), b = measure(half, c);
    std::printf("%3ld %2ld %2ld %2ld %14.2f %9.2f %6.2f %6.2f | %9.2f %9.2f %6.2f %6.2f\n", static_cast<long>(c.side),
                static_cast<long>(c.heads), static_cast<long>(c.window), static_cast<long>(c.dilation), a.forward,
                a.backward, a.forward / floor, (a.forward + a.backward) / (3.5 * floor), b.forward, b.backward,
                b.forward / floor, (b.forward + b.backward) / (3.5 * floor));
  }
  return 0;
}
