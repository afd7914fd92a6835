// A fork-join pool of our own: OpenMP would clash with torch's, and wakes too slowly for layers of microseconds.
// Workers spin for a moment after each task, then park in the kernel. A part that its worker has not begun when the
// caller is done with its own, the caller does too: nobody waits for a thread that has no processor to run on.
#pragma once

#include <cstddef>

#if !defined(LOWBIT_ONE_THREAD)
#include <atomic>
#include <thread>
#include <vector>
#endif

#include "fork.h"

namespace lowbit {

// A call of somebody's function, which must outlive it. std::function would take memory for what it holds.
class PartFunction final {
 public:
  template <class Function>
  PartFunction(const Function& function)
      : function_(&function), call_([](const void* at, std::size_t part) { (*static_cast<const Function*>(at))(part); }) {}

  void operator()(std::size_t part) const { call_(function_, part); }

 private:
  const void* function_;
  void (*call_)(const void*, std::size_t);
};

#if defined(LOWBIT_ONE_THREAD)

// Parts run one after another.
class Pool final {
 public:
  explicit Pool(std::size_t threads, bool = false) : threads_(threads) {}

  std::size_t threads() const { return threads_; }

  void run(PartFunction part) {
    for (std::size_t n = 0; n < threads_; ++n) part(n);
  }

 private:
  std::size_t threads_;
};

#else

class Pool final {
 public:
  // `threads` counts the caller: a pool of one starts nothing.
  // `pinned` keeps workers off the caller's processor; so does the environment with LOWBIT_PIN_WORKERS=1.
  explicit Pool(std::size_t threads, bool pinned = false);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  std::size_t threads() const { return workers_.size() + 1; }

  // Runs part(0) … part(threads - 1), side by side as far as there are processors; returns when all are done.
  // A part must not throw. One caller at a time.
  void run(PartFunction part);

 private:
  // Of one part: the rounds in which it was last taken, by its worker or the caller, and last finished.
  struct alignas(64) Turn {
    std::atomic<std::uint32_t> taken{0}, finished{0};
    bool take(std::uint32_t round) {
      std::uint32_t before = round - 1;
      return taken.compare_exchange_strong(before, round, std::memory_order_acq_rel);
    }
  };

  void work(std::size_t part);
  void do_part(std::size_t part, std::uint32_t round);
  bool orphaned() const;
  void keep_off_caller();

  std::vector<Turn> turns_;  // by part; that of the caller is not used
  std::vector<std::thread> workers_;
  unsigned forks_;  // of the process, when the workers began
  bool pinned_;
  int processor_ = -1;  // the caller's, when workers were last told
  const PartFunction* part_ = nullptr;
  alignas(64) std::atomic<std::uint32_t> round_{0};
  std::atomic<bool> stop_{false};
};

#endif

}  // namespace lowbit
