#include "dispatch.h"

#include <algorithm>
#include <cstdlib>

#include "error.h"
#include "tiles.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace lowbit {
namespace {

#if !defined(__aarch64__)
#define LOWBIT_SUPPORTS(feature) (__builtin_cpu_supports(#feature) != 0)
#elif defined(__linux__)
// As the kernel says, by its own numbers (asm/hwcap.h), which old headers lack.
#define LOWBIT_SUPPORTS(feature) supports_##feature()
bool supports_simd() { return (getauxval(AT_HWCAP) >> 1 & 1) != 0; }
bool supports_dotprod() { return (getauxval(AT_HWCAP) >> 20 & 1) != 0; }
bool supports_i8mm() { return (getauxval(AT_HWCAP2) >> 13 & 1) != 0; }
#else
// Elsewhere, what the compiler was told of the machine.
#define LOWBIT_SUPPORTS(feature) supports_##feature
constexpr bool supports_simd = true;
#if defined(__ARM_FEATURE_DOTPROD)
constexpr bool supports_dotprod = true;
#else
constexpr bool supports_dotprod = false;
#endif
#if defined(__ARM_FEATURE_MATMUL_INT8)
constexpr bool supports_i8mm = true;
#else
constexpr bool supports_i8mm = false;
#endif
#endif

struct LevelEntry {
  std::string name;
  std::vector<CpuFeature> needs;

  bool available() const { return missing().empty(); }

  // What this machine lacks, or the system does not let this process use.
  std::vector<std::string> missing() const {
    std::vector<std::string> names;
    for (const CpuFeature& feature : needs) {
      if (!feature.available) names.push_back(feature.name);
    }
    return names;
  }

  bool refused() const {
    return std::any_of(needs.begin(), needs.end(), [](const CpuFeature& feature) { return feature.refused; });
  }
};

std::vector<LevelEntry> all_levels() {
  std::vector<LevelEntry> all;
  [[maybe_unused]] const auto need = [&](const char* feature, bool available, bool refused) {
    all.back().needs.push_back({feature, available, refused});
  };
#define LOWBIT_HAS(feature) need(#feature, LOWBIT_SUPPORTS(feature), false);
#define LOWBIT_ASKS(feature) need(#feature, may_use_tiles(), has_tiles() && !may_use_tiles());
#define LOWBIT_LEVEL(level, needs) \
  all.push_back({#level, {}});     \
  needs
#include "../kernels/kernels.inc"
  return all;
}

std::string join(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

void check_level(const std::string& level, const std::vector<std::string>& available) {
  if (std::find(available.begin(), available.end(), level) != available.end()) return;
  const std::vector<LevelEntry> all = all_levels();
  const auto entry = std::find_if(all.begin(), all.end(), [&](const LevelEntry& one) { return one.name == level; });
  throw Error(Error::Kind::engine,
              entry == all.end()   ? "there is no such kernel level"
              : entry->refused() ? "the system does not let this process run that kernel level"
                                   : "this machine cannot run that kernel level",
              "LOWBIT_KERNELS", "one of " + join(available),
              entry == all.end() ? level
                                 : level + ", which needs " + join(entry->missing()) + (entry->refused() ? ": the system refused" : ": not here"),
              "Unset LOWBIT_KERNELS to use the best level.");
}

}  // namespace

std::vector<CpuFeature> cpu_features() {
  std::vector<CpuFeature> all;
  for (const LevelEntry& level : all_levels()) {
    for (const CpuFeature& feature : level.needs) {
      const bool known = std::any_of(all.begin(), all.end(), [&](const CpuFeature& one) { return one.name == feature.name; });
      if (!known) all.push_back(feature);
    }
  }
  return all;
}

std::vector<LevelNeeds> level_needs() {
  std::vector<LevelNeeds> levels;
  for (const LevelEntry& level : all_levels()) levels.push_back({level.name, level.missing(), level.refused()});
  return levels;
}

std::vector<std::string> available_levels() {
  std::vector<std::string> names;
  for (const LevelEntry& level : all_levels()) {
    if (level.available()) names.push_back(level.name);
  }
  return names;
}

KernelSet select_kernels(std::string level, const std::string& path) {
  const std::vector<std::string> available = available_levels();
  if (level.empty()) {
    const char* forced = std::getenv("LOWBIT_KERNELS");
    level = forced != nullptr && *forced != 0 ? forced : available.back();
  }
  check_level(level, available);
  const auto bound = std::find(available.begin(), available.end(), level) + 1;

  // The list goes from the plainest level up, each with its kernels, so the last usable entry of an operation wins.
  KernelSet set;
  set.paths = Paths({available.begin(), bound}, path);
  bool usable = false;
#define LOWBIT_LEVEL(level, needs) usable = std::find(available.begin(), bound, #level) != bound;
#define LOWBIT_KERNEL(operation, level) \
  if (usable) set.operation = {#level, level::operation};
#define LOWBIT_QUICK_KERNEL(operation, level) \
  if (usable) set.operation = {#level, level::operation, true};
#define LOWBIT_TABLE_KERNEL(operation, level, planes) \
  if (usable) set.operation = {{#level, level::operation}, planes};
#define LOWBIT_PLANE_KERNEL(operation, level, Word, lanes, pairs) \
  if (usable) set.operation = {{#level, level::operation}, 8 * sizeof(Word), lanes, pairs};
#include "../kernels/kernels.inc"
  return set;
}

}  // namespace lowbit
