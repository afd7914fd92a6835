// What kernels may do instead of an ending as it is given, proven to be equal when a layer is made. Only those that would take
// it are worth the proof, which is long, and its memory.
#pragma once

#include <map>
#include <vector>

#include "lines.h"
#include "narrow_ranks.h"

namespace lowbit {

class QuickEndings final {
 public:
  QuickEndings() = default;

  // Of one ending. `reach`: no sum is further from zero.
  QuickEndings(Epilogue& epilogue, std::int64_t reach) { add(epilogue, reach); }

  // Of regions, some of which share an ending.
  QuickEndings(std::vector<Region>& regions, std::int64_t reach) {
    std::map<const std::int32_t*, const Epilogue*> known;  // by their constants
    for (Region& region : regions) {
      const auto [at, is_new] = known.try_emplace(region.epilogue.constant, &region.epilogue);
      if (is_new) add(region.epilogue, reach);
      else region.epilogue = *at->second;
    }
  }

 private:
  void add(Epilogue& epilogue, std::int64_t reach) {
    epilogue.lines = nullptr, epilogue.narrow = nullptr;
    lines_.push_back(set_lines(epilogue, reach));
    narrow_.push_back(set_narrow_ranks(epilogue, reach));
  }

  std::vector<Aligned<LineGroup>> lines_;
  std::vector<Aligned<NarrowRanks>> narrow_;
};

}  // namespace lowbit
