// The scheduler of the SIMT machine.
#include "simt.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "fiber.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

#ifdef __x86_64__
asm(R"(
.text
.globl smalti_simt_switch
.type smalti_simt_switch, @function
smalti_simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size smalti_simt_switch, .-smalti_simt_switch
)");
#endif

namespace smalti::simt {
namespace {

constexpr unsigned kLanes = 32;
// What a launch may ask of any device of our list.
constexpr size_t kMaxThreads = 1024;
constexpr size_t kMaxSharedBytes = 99 * 1024;  // sm_86, sm_89 and sm_120
constexpr size_t kPlainSharedBytes = 48 * 1024;  // static and dynamic, if the launch does not opt in to more
constexpr unsigned kMaxGridYz = 65535;
constexpr int kGarbage = 0xff;  // every float, half or double of such bytes is a NaN

struct Copy {
  void* to;
  const void* from;
  size_t bytes;
  bool valid;
};

struct Thread {
  uint3 index;
  Context context;
  bool done = false;
  std::deque<std::vector<Copy>> groups;  // closed, oldest first
  std::vector<Copy> open;
};

struct Warp {
  uint32_t ready = 0;    // lanes that may run
  uint32_t waiting = 0;  // lanes at the collective
  const char* collective = nullptr;
  unsigned phase = 0;
  Posted posted[2];  // a lane may post for the next collective before the others have read this one's
};

struct Shared {
  void* bytes;
  size_t size;

  explicit Shared(size_t size) : size(size) {
    if (posix_memalign(&bytes, 128, size) != 0) abort();
    memset(bytes, kGarbage, size);
  }
  ~Shared() { free(bytes); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
};

struct Machine {
  Order order = Order::kForward;
  std::mt19937_64 random{1};
  std::string error;

  const std::function<void()>* body = nullptr;
  Context main;
  std::vector<std::unique_ptr<Stack>> stacks;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  unsigned current = 0;  // thread
  unsigned at_barrier = 0;
  const char* barrier_file = nullptr;
  int barrier_line = 0;
  std::unique_ptr<Shared> dynamic;
  std::map<const void*, std::unique_ptr<Shared>> statics;

  uint32_t lanes_of(unsigned warp) const {
    const unsigned rest = static_cast<unsigned>(threads.size()) - warp * kLanes;
    return rest >= kLanes ? ~0u : (1u << rest) - 1;
  }
};

Machine machine;

Thread& current() { return machine.threads[machine.current]; }
Warp& current_warp() { return machine.warps[machine.current / kLanes]; }

unsigned draw(unsigned count) { return static_cast<unsigned>(machine.random() % count); }

// A warp with a lane to run, or -1.
int choose_warp() {
  Machine& m = machine;
  const unsigned count = static_cast<unsigned>(m.warps.size()), own = m.current / kLanes;
  const bool stay = m.order != Order::kShuffled || draw(8) != 0;
  if (stay && m.warps[own].ready) return static_cast<int>(own);
  const unsigned first = m.order == Order::kShuffled ? draw(count) : 0;
  for (unsigned i = 0; i < count; ++i) {
    const unsigned at = m.order == Order::kBackward ? count - 1 - i : (first + i) % count;
    if (m.warps[at].ready) return static_cast<int>(at);
  }
  return -1;
}

unsigned choose_lane(uint32_t ready) {
  switch (machine.order) {
    case Order::kForward: return static_cast<unsigned>(__builtin_ctz(ready));
    case Order::kBackward: return kLanes - 1 - static_cast<unsigned>(__builtin_clz(ready));
    case Order::kShuffled: break;
  }
  for (unsigned skip = draw(static_cast<unsigned>(__builtin_popcount(ready))); skip > 0; --skip) ready &= ready - 1;
  return static_cast<unsigned>(__builtin_ctz(ready));
}

std::string where_threads_are() {
  unsigned done = 0, at_collective = 0;
  const char* collective = nullptr;
  for (const Thread& thread : machine.threads) done += thread.done;
  for (const Warp& warp : machine.warps) {
    at_collective += static_cast<unsigned>(__builtin_popcount(warp.waiting));
    if (warp.waiting) collective = warp.collective;
  }
  std::string text = std::to_string(done) + " threads have ended, " + std::to_string(machine.at_barrier) +
                     " wait at a barrier, " + std::to_string(at_collective) + " at a warp collective";
  if (collective) text += std::string(" (") + collective + ")";
  return text;
}

// Runs the next thread; comes back when this one may run again. Never, if it is done.
void yield(bool last = false) {
  Machine& m = machine;
  Context& from = current().context;
  const int warp = choose_warp();
  if (warp < 0) {
    bool all_done = true;
    for (const Thread& thread : m.threads) all_done &= thread.done;
    if (!all_done) m.error = "deadlock: " + where_threads_are();
    from.switch_to(m.main, true);
    abort();
  }
  const unsigned next = static_cast<unsigned>(warp) * kLanes + choose_lane(m.warps[warp].ready);
  if (next == m.current) return;
  m.current = next;
  threadIdx = m.threads[next].index;
  from.switch_to(m.threads[next].context, last);
}

void entry() {
  Context::entered();
  (*machine.body)();
  bool waited = current().open.empty();
  for (const std::vector<Copy>& group : current().groups) waited &= group.empty();
  if (!waited) fail("a thread ended with copies it never waited for");
  current().done = true;
  current_warp().ready &= ~(1u << lane());
  yield(true);
  abort();
}

void run_block(dim3 block, size_t shared_bytes) {
  Machine& m = machine;
  const unsigned count = block.x * block.y * block.z;
  m.threads.clear();
  m.threads.resize(count);
  while (m.stacks.size() < count) m.stacks.push_back(std::make_unique<Stack>());
  for (unsigned i = 0; i < count; ++i) {
    m.threads[i].index = {i % block.x, i / block.x % block.y, i / block.x / block.y};
    m.threads[i].context.start(*m.stacks[i], entry);
  }
  m.warps.assign((count + kLanes - 1) / kLanes, Warp());
  for (unsigned w = 0; w < m.warps.size(); ++w) m.warps[w].ready = m.lanes_of(w);
  m.at_barrier = 0;
  m.dynamic = std::make_unique<Shared>(shared_bytes);
  m.statics.clear();

  m.current = m.order == Order::kBackward ? count - 1 : m.order == Order::kShuffled ? draw(count) : 0;
  threadIdx = m.threads[m.current].index;
  m.main.switch_to(current().context);
  for (unsigned i = 0; i < count; ++i) m.stacks[i]->forget(!m.error.empty());
}

std::string complaint_about_launch(dim3 grid, dim3 block, size_t shared_bytes) {
  const size_t threads = size_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > kMaxThreads || block.z > 64) return "block of " + std::to_string(threads) + " threads";
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return "empty grid";
  if (grid.x > 0x7fffffffu || grid.y > kMaxGridYz || grid.z > kMaxGridYz) return "grid is too large";
  if (shared_bytes > kMaxSharedBytes) return std::to_string(shared_bytes) + " bytes of shared memory";
  return "";
}

}  // namespace

void set_order(Order order, uint64_t seed) {
  machine.order = order;
  machine.random.seed(seed);
}

int run(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body) {
  Machine& m = machine;
  m.error = complaint_about_launch(grid, block, shared_bytes);
  if (!m.error.empty()) return 1;
  gridDim = grid, blockDim = block;
  m.body = &body;
  std::vector<uint64_t> blocks(size_t{grid.x} * grid.y * grid.z);
  std::iota(blocks.begin(), blocks.end(), 0);
  if (m.order == Order::kBackward) blocks = {blocks.rbegin(), blocks.rend()};
  if (m.order == Order::kShuffled)
    for (size_t i = blocks.size(); i > 1; --i) std::swap(blocks[i - 1], blocks[m.random() % i]);
  for (const uint64_t i : blocks) {
    blockIdx = {static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x % grid.y),
                static_cast<unsigned>(i / grid.x / grid.y)};
    run_block(block, shared_bytes);
    if (m.error.empty()) continue;
    m.error = "block (" + std::to_string(blockIdx.x) + ", " + std::to_string(blockIdx.y) + ", " +
              std::to_string(blockIdx.z) + "): " + m.error;
    return 1;
  }
  return 0;
}

const std::string& last_error() { return machine.error; }

// Takes no std::string: the fiber's frames are left without running destructors.
void fail(const char* format, ...) {
  char reason[512];
  const int length = snprintf(reason, sizeof(reason), "thread (%u, %u, %u): ", threadIdx.x, threadIdx.y, threadIdx.z);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(reason + length, sizeof(reason) - static_cast<size_t>(length), format, arguments);
  va_end(arguments);
  machine.error = reason;
  current().context.switch_to(machine.main, true);
  abort();
}

unsigned lane() { return machine.current % kLanes; }

void block_barrier(const char* file, int line) {
  Machine& m = machine;
  if (m.at_barrier == 0) m.barrier_file = file, m.barrier_line = line;
  if (m.barrier_line != line || strcmp(m.barrier_file, file) != 0)
    fail("barrier in %s:%d while others wait at the one in %s:%d", file, line, m.barrier_file, m.barrier_line);
  current_warp().ready &= ~(1u << lane());
  if (++m.at_barrier == m.threads.size()) {
    m.at_barrier = 0;
    for (unsigned w = 0; w < m.warps.size(); ++w) m.warps[w].ready = m.lanes_of(w);
  }
  yield();
}

const Posted& meet(const char* collective, const void* value, size_t bytes) {
  Warp& warp = current_warp();
  if (warp.waiting == 0) warp.collective = collective;
  if (strcmp(warp.collective, collective) != 0)
    fail("%s while other lanes wait at %s", collective, warp.collective);
  Posted& posted = warp.posted[warp.phase % 2];
  memcpy(posted.bytes[lane()], value, bytes);
  const uint32_t self = 1u << lane();
  warp.ready &= ~self;
  warp.waiting |= self;
  if (warp.waiting == ~0u) {
    warp.waiting = 0;
    warp.ready = ~0u;
    ++warp.phase;
  }
  yield();
  return posted;
}

void* dynamic_shared() { return machine.dynamic->bytes; }

void* static_shared(const void* key, size_t bytes) {
  std::unique_ptr<Shared>& array = machine.statics[key];
  if (!array) {
    array = std::make_unique<Shared>(bytes);
    size_t total = machine.dynamic->size;
    for (const auto& other : machine.statics) total += other.second->size;
    // Launches opt in when their dynamic part alone is too large.
    const size_t most = machine.dynamic->size > kPlainSharedBytes ? kMaxSharedBytes : kPlainSharedBytes;
    if (total > most) fail("%zu bytes of static and dynamic shared memory", total);
  }
  return array->bytes;
}

void copy_async(void* to, const void* from, size_t bytes, bool valid) {
  require_aligned(to, bytes, "copy_async to");
  require_aligned(from, bytes, "copy_async from");
  memset(to, kGarbage, bytes);
  current().open.push_back({to, from, bytes, valid});
}

void commit_copies() {
  current().groups.push_back(std::move(current().open));
  current().open.clear();
}

void wait_copies(size_t newest) {
  std::deque<std::vector<Copy>>& groups = current().groups;
  while (groups.size() > newest) {
    for (const Copy& copy : groups.front()) {
      if (copy.valid)
        memcpy(copy.to, copy.from, copy.bytes);
      else
        memset(copy.to, 0, copy.bytes);
    }
    groups.pop_front();
  }
}

}  // namespace smalti::simt
