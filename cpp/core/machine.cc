#include "machine.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <ctime>
#include <limits>

#include "dispatch.h"
#include "error.h"
#include "memory.h"
#include "pool.h"

namespace lowbit {
namespace {

constexpr double kAttempt = 1e-3;  // seconds: short, so that some are not interrupted
constexpr const char* kMemory = "memory";

struct Row {
  const char *unit, *level;
  peak_kernel* peak;
  read_kernel* read;
};

std::vector<Row> rows() {
  return {
#define LOWBIT_PEAK(unit, level) {#unit, #level, level::unit##_peak, nullptr},
#define LOWBIT_READER(level) {kMemory, #level, nullptr, level::read_all},
#include "../kernels/kernels.inc"
  };
}

double processor_seconds() {
#if defined(CLOCK_THREAD_CPUTIME_ID)
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
#else
  return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
#endif
}

// `run` does a piece of work so many times, and returns how much that was.
template <class Run>
Speed best(const Run& run, double seconds) {
  using Clock = std::chrono::steady_clock;
  Speed best;
  double all = 0;
  for (std::uint64_t times = 1; all < seconds || best.work == 0;) {
    const Clock::time_point start = Clock::now();
    const double before = processor_seconds();
    const double work = run(times);
    const double processor = processor_seconds() - before;
    const double clock = std::chrono::duration<double>(Clock::now() - start).count();
    all += clock;
    if (work == 0) return {};
    if (processor < kAttempt / 2 && all < seconds) {
      times *= 2;
    } else if (processor > 0 && work * best.processor >= best.work * processor) {
      best = {work, processor, clock};
    }
  }
  return best;
}

const Row& row_of(const std::vector<Row>& all, const std::string& unit, const std::string& level) {
  const std::vector<std::string> levels = available_levels();
  const auto row = std::find_if(all.begin(), all.end(), [&](const Row& one) { return one.unit == unit && one.level == level; });
  if (row == all.end() || std::find(levels.begin(), levels.end(), level) == levels.end()) {
    throw Error(Error::Kind::engine, "this machine cannot measure that unit", "unit", "one that its levels have", level + " " + unit,
                "Ask lowbit bench --machine which there are.");
  }
  return *row;
}

}  // namespace

std::vector<MachineUnit> units() {
  const std::vector<std::string> levels = available_levels();
  std::vector<MachineUnit> all;
  for (const Row& row : rows()) {
    all.push_back({row.unit, row.level, std::find(levels.begin(), levels.end(), row.level) != levels.end()});
  }
  return all;
}

Speed measure_unit(const std::string& unit, const std::string& level, double seconds) {
  const std::vector<Row> all = rows();
  const Row& row = row_of(all, unit, level);
  return best([&](std::uint64_t times) { return static_cast<double>(row.peak(1000 * times)); }, seconds);
}

double measure_handing(std::size_t threads, double seconds) {
  using Clock = std::chrono::steady_clock;
  constexpr double kLost = 1e-4;  // no processor is free for a worker: the caller goes on
  Pool pool(threads);
  std::atomic<std::size_t> begun{0};
  double best = std::numeric_limits<double>::infinity(), all = 0;
  const auto since = [](Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); };
  while (all < seconds) {
    begun = 0;
    const Clock::time_point start = Clock::now();
    pool.run([&](std::size_t part) {
      if (part != 0) return static_cast<void>(++begun);
      while (begun < threads - 1 && since(start) < kLost) {}
    });
    const double took = since(start);
    all += took;
    if (took < kLost) best = std::min(best, took);
  }
  return best;
}

Speed measure_reading(const std::string& level, std::size_t bytes, double seconds) {
  const std::vector<Row> all = rows();
  const Row& row = row_of(all, kMemory, level);
  Aligned<std::byte> room(round_up(std::max<std::size_t>(bytes, 1), 1024));
  std::memset(room.data(), 1, room.size());
  const auto read = [&](std::uint64_t times) {
    for (std::uint64_t n = 0; n < times; ++n) row.read(room.data(), room.size());
    return static_cast<double>(times * room.size());
  };
  read(1);
  return best(read, seconds);
}

}  // namespace lowbit
