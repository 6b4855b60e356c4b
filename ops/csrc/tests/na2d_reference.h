// Definition of 2D neighborhood attention in plain double precision, for tests of the kernels. It shares no code with
// them: the positions of a residue class are listed one by one, and the window is a slice of that list.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace smalti_test {

// All tensors are contiguous: q, k, v, out and their gradients [B, H, W, M, D], lse [B, H, W, M],
// bias [M, 2Ky-1, 2Kx-1] (empty for none).
struct NaProblem {
  int64_t batch, height, width, heads, head_dim;
  int64_t window_y, window_x, dilation_y, dilation_x;
  double scale;

  int64_t tokens() const { return batch * height * width * heads; }
  int64_t size() const { return tokens() * head_dim; }
  int64_t table() const { return (2 * window_y - 1) * (2 * window_x - 1); }
};

using Doubles = std::vector<double>;

struct NaForwardResult {
  Doubles out, lse;
};
struct NaBackwardResult {
  Doubles q, k, v, bias;
};

struct NaKey {
  int64_t position;  // on the map
  int64_t bias;      // along this axis of the table
};

// The keys that the query at `position` sees along one axis.
inline std::vector<NaKey> axis_keys(int64_t position, int64_t size, int64_t window, int64_t dilation) {
  std::vector<int64_t> members;
  int64_t rank = 0;
  for (int64_t p = 0; p < size; ++p) {
    if (p % dilation != position % dilation) continue;
    if (p == position) rank = static_cast<int64_t>(members.size());
    members.push_back(p);
  }
  int64_t begin = rank - (window - 1) / 2;
  while (begin < 0) ++begin;
  while (begin + window > static_cast<int64_t>(members.size())) --begin;
  std::vector<NaKey> keys;
  for (int64_t i = begin; i < begin + window; ++i) keys.push_back({members[i], i - rank + window - 1});
  return keys;
}

// Calls visit(query token, key token, index into the bias table of all heads) for every pair of every query, all pairs
// of a query in a row; `done(query token)` after them.
template <typename Visit, typename Done>
void for_each_query(const NaProblem& p, Visit visit, Done done) {
  for (int64_t y = 0; y < p.height; ++y) {
    const std::vector<NaKey> rows = axis_keys(y, p.height, p.window_y, p.dilation_y);
    for (int64_t x = 0; x < p.width; ++x) {
      const std::vector<NaKey> columns = axis_keys(x, p.width, p.window_x, p.dilation_x);
      for (int64_t b = 0; b < p.batch; ++b) {
        for (int64_t m = 0; m < p.heads; ++m) {
          const auto token = [&](int64_t ty, int64_t tx) { return ((b * p.height + ty) * p.width + tx) * p.heads + m; };
          for (const NaKey& row : rows)
            for (const NaKey& column : columns)
              visit(token(y, x), token(row.position, column.position),
                    m * p.table() + row.bias * (2 * p.window_x - 1) + column.bias);
          done(token(y, x));
        }
      }
    }
  }
}

inline double dot(const double* a, const double* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

struct NaPair {
  int64_t key, bias;
  double score;
};

inline NaForwardResult na2d_forward_reference(const NaProblem& p, const Doubles& q, const Doubles& k, const Doubles& v,
                                              const Doubles& bias) {
  const int64_t n = p.head_dim;
  NaForwardResult result{Doubles(p.size(), 0.0), Doubles(p.tokens(), 0.0)};
  std::vector<NaPair> pairs;
  for_each_query(
      p,
      [&](int64_t query, int64_t key, int64_t at) {
        const double logit = p.scale * dot(&q[query * n], &k[key * n], n);
        pairs.push_back({key, at, bias.empty() ? logit : logit + bias[at]});
      },
      [&](int64_t query) {
        double top = pairs[0].score, total = 0;
        for (const NaPair& pair : pairs) top = std::fmax(top, pair.score);
        for (const NaPair& pair : pairs) total += std::exp(pair.score - top);
        result.lse[query] = top + std::log(total);
        for (const NaPair& pair : pairs) {
          const double weight = std::exp(pair.score - result.lse[query]);
          for (int64_t d = 0; d < n; ++d) result.out[query * n + d] += weight * v[pair.key * n + d];
        }
        pairs.clear();
      });
  return result;
}

inline NaBackwardResult na2d_backward_reference(const NaProblem& p, const Doubles& q, const Doubles& k,
                                                const Doubles& v, const Doubles& bias, const Doubles& grad_out) {
  const int64_t n = p.head_dim;
  const NaForwardResult forward = na2d_forward_reference(p, q, k, v, bias);
  NaBackwardResult grad{Doubles(p.size(), 0.0), Doubles(p.size(), 0.0), Doubles(p.size(), 0.0),
                        Doubles(bias.size(), 0.0)};
  for_each_query(
      p,
      [&](int64_t query, int64_t key, int64_t at) {
        double score = p.scale * dot(&q[query * n], &k[key * n], n);
        if (!bias.empty()) score += bias[at];
        const double weight = std::exp(score - forward.lse[query]);
        const double delta = dot(&grad_out[query * n], &forward.out[query * n], n);
        const double grad_score = weight * (dot(&grad_out[query * n], &v[key * n], n) - delta);
        if (!bias.empty()) grad.bias[at] += grad_score;
        for (int64_t d = 0; d < n; ++d) {
          grad.q[query * n + d] += p.scale * grad_score * k[key * n + d];
          grad.k[key * n + d] += p.scale * grad_score * q[query * n + d];
          grad.v[key * n + d] += weight * grad_out[query * n + d];
        }
      },
      [](int64_t) {});
  return grad;
}

}  // namespace smalti_test
