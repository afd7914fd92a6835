#include "pool.h"

#include <chrono>
#include <cstdlib>
#include <cstring>

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace lowbit {
namespace {

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

// About as long as a thread takes to wake up: longer spinning costs others more than it saves us.
constexpr std::chrono::microseconds kSpin{50};

// Libraries of the same process may bind threads themselves, so ours are bound only on request.
bool asked_to_pin() {
  const char* asked = std::getenv("LOWBIT_PIN_WORKERS");
  return asked != nullptr && std::strcmp(asked, "1") == 0;
}

// Beyond a moment the other thread has no processor: it may have this one.
void await(const std::atomic<std::uint32_t>& finished, std::uint32_t round) {
  for (int spins = 0; finished.load(std::memory_order_acquire) != round; ++spins) {
    spins < 1000 ? pause() : std::this_thread::yield();
  }
}

}  // namespace

Pool::Pool(std::size_t threads, bool pinned)
    : turns_(threads), forks_(forks()), pinned_(pinned || asked_to_pin()) {
  for (std::size_t part = 1; part < threads; ++part) {
    workers_.emplace_back([this, part] { work(part); });
  }
}

Pool::~Pool() {
  if (orphaned()) {
    for (std::thread& worker : workers_) worker.detach();
    return;
  }
  stop_.store(true);
  round_.fetch_add(1);
  round_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Pool::run(PartFunction part) {
  if (workers_.empty() || orphaned()) {
    for (std::size_t n = 0; n < threads(); ++n) part(n);
    return;
  }
  if (pinned_) keep_off_caller();
  part_ = &part;
  const std::uint32_t round = round_.fetch_add(1, std::memory_order_release) + 1;
  round_.notify_all();
  part(0);
  for (std::size_t n = 1; n < threads(); ++n) do_part(n, round);
  for (std::size_t n = 1; n < threads(); ++n) await(turns_[n].finished, round);
}

// Where asked for, workers run anywhere but where the caller is: Linux likes to wake a thread where its waker runs, and there
// it would wait until the caller is done, call after call.
void Pool::keep_off_caller() {
#if defined(__linux__)
  const int processor = sched_getcpu();
  cpu_set_t others;
  if (processor == processor_ || sched_getaffinity(0, sizeof others, &others) != 0) return;
  processor_ = processor;
  CPU_CLR(static_cast<std::size_t>(processor), &others);
  if (CPU_COUNT(&others) == 0) return;
  for (std::thread& worker : workers_) pthread_setaffinity_np(worker.native_handle(), sizeof others, &others);
#endif
}

// Does nothing if the part was taken already.
void Pool::do_part(std::size_t part, std::uint32_t round) {
  if (!turns_[part].take(round)) return;
  (*part_)(part);
  turns_[part].finished.store(round, std::memory_order_release);
}

// After a fork the child has the pool but none of its threads; it then does all parts itself.
bool Pool::orphaned() const { return forks() != forks_; }

void Pool::work(std::size_t part) {
  std::uint32_t seen = 0;
  while (true) {
    const auto until = std::chrono::steady_clock::now() + kSpin;
    while (round_.load(std::memory_order_acquire) == seen && std::chrono::steady_clock::now() < until) pause();
    if (round_.load(std::memory_order_acquire) == seen) round_.wait(seen, std::memory_order_acquire);
    seen = round_.load(std::memory_order_acquire);
    if (stop_.load()) return;
    do_part(part, seen);
  }
}

}  // namespace lowbit
