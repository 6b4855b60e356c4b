// Backward pass of one image and head. Its value rows and its gradient rows sit in dense scratch of the compute type:
// they stay in the cache while every query reads and adds to them, and half types round once, at the end.
#pragma once

#include "channels.h"
#include "taps.h"

namespace smalti {
namespace SMALTI_ISA {
namespace {

// Rows [S + 1, D] of the compute type, channels in the order of blocks. The last row is that of corners outside the
// level: zeros for the value, what nobody reads for the gradient.
template <typename T>
class Slice {
 public:
  using C = Compute<T>;

  Slice(int64_t positions, int64_t head_dim)
      : positions_(positions),
        head_dim_(head_dim),
        memory_(new unsigned char[(positions + 1) * head_dim * sizeof(C) + 64]) {
    // Rows of whole cache lines stay whole.
    data_ = reinterpret_cast<C*>((reinterpret_cast<uintptr_t>(memory_) + 63) / 64 * 64);
  }
  ~Slice() { delete[] memory_; }
  Slice(const Slice&) = delete;
  Slice& operator=(const Slice&) = delete;

  C* data() { return data_; }
  int64_t last_row() const { return positions_ * head_dim_; }

  void clear() { memset(static_cast<void*>(data_), 0, (positions_ + 1) * head_dim_ * sizeof(C)); }

  void gather(const T* from, int64_t stride) {
    for (int64_t i = 0; i < positions_; ++i) unpack_row(from + i * stride, head_dim_, data_ + i * head_dim_);
    memset(static_cast<void*>(data_ + last_row()), 0, head_dim_ * sizeof(C));
  }

  void scatter(T* to, int64_t stride) const {
    for (int64_t i = 0; i < positions_; ++i) {
      const C* row = data_ + i * head_dim_;
      T* out = to + i * stride;
      cut_row<C>(
          head_dim_,
          [&](int64_t d, auto registers) {
            Block<registers.value, T> block;
            for (int n = 0; n < registers.value; ++n) block.part[n] = load_exact(row + d + n * kLanes<C>);
            block.store(out + d);
          },
          [&](int64_t d) { store_channel<T>(row[d], out + d); });
    }
  }

  static void unpack_row(const T* from, int64_t head_dim, C* to) {
    cut_row<C>(
        head_dim,
        [&](int64_t d, auto registers) {
          Block<registers.value, T> block;
          block.load(from + d);
          for (int n = 0; n < registers.value; ++n) store_exact(block.part[n], to + d + n * kLanes<C>);
        },
        [&](int64_t d) { to[d] = load_channel(from + d); });
  }

 private:
  int64_t positions_, head_dim_;
  unsigned char* memory_;
  C* data_;
};

// Products of the output's gradient with the rows of all corners, [L * P, 4], added to `dots` (which the first block of
// channels starts), and the same gradient times its share added to the rows of grad_value.
template <int N, typename C>
inline void visit_block(const C* grad_out, const C* value, C* grad_value, const Taps<C>& taps, int64_t count, C* dots,
                        bool first) {
  constexpr int kBatch = kLanes<C> > 4 ? kLanes<C> / 4 : 1;  // points whose products fill whole registers
  constexpr int kSums = kBatch * 4;
  Vec<C> grad[N];
  for (int n = 0; n < N; ++n) grad[n] = load_exact(grad_out + n * kLanes<C>);
  for (int64_t i = 0; i < count; i += kBatch) {
    Vec<C> sums[kSums];
    for (int j = 0; j < kBatch; ++j) {
      for (int c = 0; c < 4; ++c) {
        const int64_t at = taps.at[c][i + j];
        const Vec<C> share = Vec<C>{} + taps.share[c][i + j];
        Vec<C> sum = {};
        for (int n = 0; n < N; ++n) {
          sum += grad[n] * load_exact(value + at + n * kLanes<C>);
          C* row = grad_value + at + n * kLanes<C>;
          store_exact<C>(load_exact(row) + share * grad[n], row);
        }
        sums[j * 4 + c] = sum;
      }
    }
    for (int s = 0; s < kSums; s += kLanes<C>) {
      Vec<C> sum = sum_each<C>(sums + s);
      if (!first) sum += load_exact(dots + i * 4 + s);
      store_exact(sum, dots + i * 4 + s);
    }
  }
}

template <typename C>
inline void visit_single(C grad_out, const C* value, C* grad_value, const Taps<C>& taps, int64_t count, C* dots,
                         bool first) {
  for (int64_t i = 0; i < count; ++i) {
    for (int c = 0; c < 4; ++c) {
      const int64_t at = taps.at[c][i];
      const C product = grad_out * value[at];
      dots[i * 4 + c] = first ? product : dots[i * 4 + c] + product;
      grad_value[at] += taps.share[c][i] * grad_out;
    }
  }
}

// From the products of all corners to the gradients of positions, [L * P, 2], and logits, [L * P].
template <typename C>
inline void point_gradients(const Taps<C>& taps, int64_t count, const C* dots, C* grad_offsets, C* grad_logits) {
  constexpr auto each = Each<C>{};
  C by_weight[kDeformMaxPoints];  // gradient by each attention weight
  Vec<C> mean = {};
  for (int64_t i = 0; i < count; i += kLanes<C>) {
    Vec<C> d[4];
    for (int c = 0; c < 4; ++c) d[c] = load_exact(dots + i * 4 + c * kLanes<C>);
    const Vec<C> low_even = even_lanes<C>(d[0], d[1], each), high_even = even_lanes<C>(d[2], d[3], each);
    const Vec<C> low_odd = odd_lanes<C>(d[0], d[1], each), high_odd = odd_lanes<C>(d[2], d[3], each);
    const Vec<C> upper_left = even_lanes<C>(low_even, high_even, each);
    const Vec<C> upper_right = even_lanes<C>(low_odd, high_odd, each);
    const Vec<C> lower_left = odd_lanes<C>(low_even, high_even, each);
    const Vec<C> lower_right = odd_lanes<C>(low_odd, high_odd, each);

    const Vec<C> x = load_exact(taps.x + i), y = load_exact(taps.y + i), weight = load_exact(taps.weight + i);
    const Vec<C> left = C(1) - x, above = C(1) - y;
    const Vec<C> up = left * upper_left + x * upper_right, down = left * lower_left + x * lower_right;
    const Vec<C> sampled = above * up + y * down;
    mean += weight * sampled;
    store_exact(sampled, by_weight + i);
    const Vec<C> by_x = weight * (above * (upper_right - upper_left) + y * (lower_right - lower_left));
    const Vec<C> by_y = weight * (left * (lower_left - upper_left) + x * (lower_right - upper_right));
    const int64_t left_over = 2 * (count - i);
    store_first(zipped_low<C>(by_x, by_y, each), grad_offsets + 2 * i, left_over);
    store_first(zipped_high<C>(by_x, by_y, each), grad_offsets + 2 * i + kLanes<C>, left_over - kLanes<C>);
  }
  mean = sum_lanes<C>(mean);
  for (int64_t i = 0; i < count; i += kLanes<C>) {
    const Vec<C> weight = load_exact(taps.weight + i);
    store_first(weight * (load_exact(by_weight + i) - mean), grad_logits + i, count - i);
  }
}

// Rows of one head lie apart by those of all heads, too far for hardware prefetchers.
constexpr int64_t kQueriesAhead = 8;

template <typename T>
inline void prefetch_row(const T* row, int64_t count) {
  const char* bytes = reinterpret_cast<const char*>(row);
  for (int64_t i = 0; i < count * static_cast<int64_t>(sizeof(T)); i += 64) __builtin_prefetch(bytes + i);
}

template <typename T>
inline void prefetch_query(const DeformBackward<T>& a, int64_t query, int64_t m) {
  const DeformShape& s = a.shape;
  const int64_t row = query * s.heads + m, count = s.levels * s.points;
  prefetch_row(a.logits + row * count, count);
  prefetch_row(a.offsets + row * count * 2, count * 2);
  prefetch_row(a.grad_out + row * s.head_dim, s.head_dim);
  prefetch_row(a.grad_logits + row * count, count);
  prefetch_row(a.grad_offsets + row * count * 2, count * 2);
}

template <typename T>
void backward(const DeformBackward<T>& a, int64_t begin, int64_t end) {
  using C = Compute<T>;
  const DeformShape& s = a.shape;
  const int64_t row_stride = s.heads * s.head_dim;
  const Levels<C> levels(s, s.head_dim);
  const int64_t count = levels.count;
  Slice<T> value(s.positions, s.head_dim), grad_value(s.positions, s.head_dim);
  Taps<C> taps;
  C grad_out[kDeformMaxHeadDim];
  C dots[kDeformMaxPoints * 4] = {};  // [L * P, 4], padding stays zero

  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t m = unit % s.heads, b = unit / s.heads;
    value.gather(a.value + b * s.value_b + m * s.value_m, s.value_s);
    grad_value.clear();
    const int64_t last = (b + 1) * s.queries - 1;
    for (int64_t query = b * s.queries; query <= last; ++query) {
      prefetch_query(a, query + kQueriesAhead < last ? query + kQueriesAhead : last, m);
      const int64_t row = query * s.heads + m;
      levels.find_taps(a.reference + query * s.levels * 2, a.offsets + row * count * 2, a.logits + row * count,
                       value.last_row(), &taps);
      Slice<T>::unpack_row(a.grad_out + row * s.head_dim, s.head_dim, grad_out);
      cut_row<C>(
          s.head_dim,
          [&](int64_t d, auto registers) {
            visit_block<registers.value>(grad_out + d, value.data() + d, grad_value.data() + d, taps, count, dots,
                                         d == 0);
          },
          [&](int64_t d) {
            visit_single(grad_out[d], value.data() + d, grad_value.data() + d, taps, count, dots, d == 0);
          });
      point_gradients(taps, count, dots, a.grad_offsets + row * count * 2, a.grad_logits + row * count);
    }
    grad_value.scatter(a.grad_value + b * s.positions * row_stride + m * s.head_dim, row_stride);
  }
}

}  // namespace
}  // namespace SMALTI_ISA
}  // namespace smalti
