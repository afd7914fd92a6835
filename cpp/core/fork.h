// What a fork leaves behind in the child: memory of all threads, and none of them but the caller.
#pragma once

#if !defined(LOWBIT_ONE_THREAD)
#include <mutex>
#endif

namespace lowbit {

#if defined(LOWBIT_ONE_THREAD)

// Neither threads nor forks, as in WebAssembly.
inline unsigned forks() { return 0; }

struct ForkMutex final {
  void lock() {}
  bool try_lock() { return true; }
  void unlock() {}
};

#else

// How many forks led to this process. To ask the system for the process's number would cost a call for each layer.
unsigned forks();

// A mutex that is free in the child of a fork, whoever held it: no other thread is left there to give it back.
class ForkMutex final {
 public:
  ForkMutex();
  ~ForkMutex();
  ForkMutex(const ForkMutex&) = delete;
  ForkMutex& operator=(const ForkMutex&) = delete;

  void lock() { mutex_.lock(); }
  bool try_lock() { return mutex_.try_lock(); }
  void unlock() { mutex_.unlock(); }

 private:
  friend struct ForkRegistry;
  std::mutex mutex_;
};

#endif

}  // namespace lowbit
