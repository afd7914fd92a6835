#include "../core/pool.h"

#include <atomic>
#include <chrono>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

namespace lowbit::testing {
namespace {

TEST(every_part_runs_once_and_is_waited_for) {
  for (const std::size_t threads : {1u, 2u, 4u}) {
    Pool pool(threads);
    std::vector<std::atomic<int>> runs(threads);
    for (int round = 1; round <= 2000; ++round) {
      pool.run([&](std::size_t part) { runs[part].fetch_add(1); });
      for (const std::atomic<int>& count : runs) CHECK(count.load() == round, "round " + std::to_string(round));
    }
  }
}

TEST(parked_workers_wake_up) {
  Pool pool(3);
  std::atomic<int> runs = 0;
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    pool.run([&](std::size_t) { runs.fetch_add(1); });
  }
  CHECK(runs.load() == 15, std::to_string(runs.load()));
}

TEST(a_lock_is_free_in_the_child_of_a_fork) {
  ForkMutex mutex;
  std::atomic<bool> locked = false, done = false;
  std::thread other([&] {
    const std::lock_guard guard(mutex);
    locked.store(true);
    while (!done.load()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  while (!locked.load()) std::this_thread::yield();
  const pid_t child = fork();
  if (child == 0) {
    const bool free = mutex.try_lock();
    if (free) mutex.unlock();
    _exit(free ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  CHECK(status == 0, "status " + std::to_string(status));
  CHECK(!mutex.try_lock(), "the parent's is still held");
  done.store(true);
  other.join();
}

}  // namespace
}  // namespace lowbit::testing
