// A SIMT machine on the host: runs a kernel's threads as fibers, block after block, to prove kernels where no GPU is.
//
// A thread runs until it waits (for its block or its warp), then another one does. Which one, the order decides: a
// kernel whose results differ between orders has a race. What the machine reports instead of running on: barriers that
// not all threads reach or that they reach at different places, warp collectives that not all 32 lanes take part in,
// threads that end with asynchronous copies never waited for, misaligned accesses of primitives, launches that some
// device would refuse. Shared memory holds NaNs when a block starts and is allocated exactly, so that the address
// sanitizer sees overruns.
//
// Blocks never run at the same time: a kernel whose blocks wait for one another would hang on a device too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct uint3 {
  unsigned x, y, z;
};

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

namespace smalti::simt {

enum class Order {
  kForward,   // lowest block, warp and lane first; a warp runs as far as it can before the next one does
  kBackward,  // highest first
  kShuffled,  // drawn at every wait, from the seed
};
void set_order(Order order, uint64_t seed = 1);

// Runs `body` once per thread. Returns 0, or 1 with the reason in last_error().
int run(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body);
const std::string& last_error();

// For primitives, inside a kernel: stops the launch, which returns an error.
[[noreturn, gnu::format(printf, 1, 2)]] void fail(const char* format, ...);

unsigned lane();
void block_barrier(const char* file, int line);

// What the 32 lanes of a warp brought to a collective.
struct Posted {
  alignas(16) unsigned char bytes[32][32];

  template <typename V>
  V of(unsigned lane) const {
    static_assert(sizeof(V) <= sizeof(bytes[0]), "too large for a collective");
    V value;
    memcpy(&value, bytes[lane], sizeof(V));
    return value;
  }
};

// Waits for the warp: every lane must come to the same `collective`. The result is valid until the lane's next one.
const Posted& meet(const char* collective, const void* value, size_t bytes);
template <typename V>
const Posted& meet(const char* collective, const V& value) {
  return meet(collective, &value, sizeof(V));
}

void* dynamic_shared();
// The block's static shared array that `key` identifies.
void* static_shared(const void* key, size_t bytes);
template <typename Array>
Array& static_shared(const void* key) {
  return *static_cast<Array*>(static_shared(key, sizeof(Array)));
}

// Asynchronous copies: the destination holds garbage until the thread's wait, which is also when the source is read.
void copy_async(void* to, const void* from, size_t bytes, bool valid);
void commit_copies();
void wait_copies(size_t newest);

inline void require_aligned(const void* p, size_t bytes, const char* what) {
  if (reinterpret_cast<uintptr_t>(p) % bytes != 0) fail("%s: address is not a multiple of %zu", what, bytes);
}

}  // namespace smalti::simt
