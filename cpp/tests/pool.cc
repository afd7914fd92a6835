#include "../core/pool.h"

#include <atomic>
#include <chrono>
#include <thread>

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

}  // namespace
}  // namespace lowbit::testing
