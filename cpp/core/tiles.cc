#include "tiles.h"

#include <cstdint>
#include <cstdlib>

#if defined(__x86_64__) && defined(__linux__) && !defined(LOWBIT_EMULATE_TILES)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace lowbit {

#if defined(LOWBIT_EMULATE_TILES)

bool has_tiles() { return true; }
// A system that refuses is emulated, too.
bool may_use_tiles() { return std::getenv("LOWBIT_REFUSE_TILES") == nullptr; }

#elif defined(__x86_64__) && defined(__linux__)

namespace {

struct Leaf {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;

  Leaf(unsigned leaf, unsigned part) { __get_cpuid_count(leaf, part, &eax, &ebx, &ecx, &edx); }
};

constexpr bool has(unsigned bits, unsigned bit) { return (bits >> bit & 1) != 0; }

// State components that the system saves: XCR0. Only where it says that it does (OSXSAVE).
std::uint64_t saved_states() {
  if (!has(Leaf(1, 0).ecx, 27)) return 0;
  std::uint32_t low, high;
  asm("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return std::uint64_t{high} << 32 | low;
}

constexpr unsigned kTileConfiguration = 17, kTileData = 18;  // state components

bool finds_tiles() {
  const unsigned features = Leaf(7, 0).edx;
  const std::uint64_t saved = saved_states(), needed = std::uint64_t{1} << kTileConfiguration | std::uint64_t{1} << kTileData;
  if (!has(features, 24) || !has(features, 25) || (saved & needed) != needed) return false;  // AMX-TILE, AMX-INT8
  const Leaf palette(0x1d, 1);  // bytes of a tile; of a row, and tiles; rows
  return palette.eax >> 16 >= 1024 && (palette.ebx & 0xffff) >= 64 && palette.ebx >> 16 >= 8 && (palette.ecx & 0xffff) >= 16;
}

}  // namespace

// Asked once: under a hypervisor every question takes microseconds.
bool has_tiles() {
  static const bool found = finds_tiles();
  return found;
}

bool may_use_tiles() {
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM, which old headers lack
  static const bool allowed = has_tiles() && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return allowed;
}

#else

bool has_tiles() { return false; }
bool may_use_tiles() { return false; }

#endif

}  // namespace lowbit
