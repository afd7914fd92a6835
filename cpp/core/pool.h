// A fork-join pool of our own: OpenMP would clash with torch's, and wakes too slowly for layers of microseconds.
// Workers spin for a moment after each task, then park in the kernel.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

#include <sys/types.h>

namespace lowbit {

class Pool final {
 public:
  // `threads` counts the caller: a pool of one starts nothing.
  explicit Pool(std::size_t threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  std::size_t threads() const { return workers_.size() + 1; }

  // Runs part(0) … part(threads - 1) side by side, part(0) on the caller; returns when all are done.
  // A part must not throw. One caller at a time.
  void run(const std::function<void(std::size_t)>& part);

 private:
  void work(std::size_t part);
  bool orphaned() const;

  std::vector<std::thread> workers_;
  pid_t owner_;
  const std::function<void(std::size_t)>* part_ = nullptr;
  alignas(64) std::atomic<std::uint32_t> round_{0};
  alignas(64) std::atomic<std::size_t> pending_{0};
  std::atomic<bool> stop_{false};
};

}  // namespace lowbit
