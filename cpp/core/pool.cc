#include "pool.h"

#include <chrono>

#include <unistd.h>

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

}  // namespace

Pool::Pool(std::size_t threads) : owner_(getpid()) {
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

void Pool::run(const std::function<void(std::size_t)>& part) {
  if (workers_.empty() || orphaned()) {
    for (std::size_t n = 0; n < threads(); ++n) part(n);
    return;
  }
  part_ = &part;
  pending_.store(workers_.size(), std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  part(0);
  while (pending_.load(std::memory_order_acquire) != 0) pause();
}

// After a fork the child has the pool but none of its threads; it then does all parts itself.
bool Pool::orphaned() const { return getpid() != owner_; }

void Pool::work(std::size_t part) {
  std::uint32_t seen = 0;
  while (true) {
    const auto until = std::chrono::steady_clock::now() + kSpin;
    while (round_.load(std::memory_order_acquire) == seen && std::chrono::steady_clock::now() < until) pause();
    round_.wait(seen, std::memory_order_acquire);
    seen = round_.load(std::memory_order_acquire);
    if (stop_.load()) return;
    (*part_)(part);
    pending_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace lowbit
