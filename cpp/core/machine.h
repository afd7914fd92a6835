// What this machine can do at most, measured: multiply-adds in registers alone, and bytes read from caches and memory.
#pragma once

#include <string>
#include <vector>

#include "kernel.h"

namespace lowbit {

// A row of LOWBIT_PEAK or LOWBIT_READER.
struct MachineUnit {
  std::string name, level;
  bool available;
};

// Every unit of every level of this build, plainest first. That of a reader is "memory".
std::vector<MachineUnit> units();

// The quickest of many attempts, by the processor's time of this thread: others that use the machine change it least.
struct Speed {
  double work = 0;  // multiply-adds, or bytes
  double processor = 0, clock = 0;  // seconds
};

// For about so many seconds. Throws Error where this machine lacks the unit or the level.
Speed measure_unit(const std::string& unit, const std::string& level, double seconds);
// Reads so many bytes again and again.
Speed measure_reading(const std::string& level, std::size_t bytes, double seconds);

// Seconds by the clock that handing something to so many threads takes at least, until they have done it and the caller knows;
// infinite where no processor was free for them.
double measure_handing(std::size_t threads, double seconds);

}  // namespace lowbit
