#include "paths.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string_view>

#include "error.h"
#include "memory.h"

namespace lowbit {
namespace {

constexpr const char* kHeading = "lowbit costs 1";
constexpr std::size_t kMostBytes = 65'536;

std::vector<PathCost> declared() {
  return {
#define LOWBIT_COST(path, level, fully_connected, convolution, ending) \
  PathCost{Path::path, #level, fully_connected, convolution, ending},
#include "paths.inc"
  };
}

std::string all_paths() {
  std::string names;
  for (const PathTraits& path : kPaths) names += std::string(names.empty() ? "" : ", ") + path.name;
  return names;
}

[[noreturn]] void wrong(const std::string& where, const std::string& expected, const std::string& found) {
  throw Error(Error::Kind::file, "this is no file of costs", where, expected, found,
              "Write one with: lowbit bench --machine --write FILE; or unset LOWBIT_COSTS.");
}

std::string content_of(const char* name) {
  std::FILE* file = std::fopen(name, "rb");
  if (file == nullptr) wrong(name, "a file that can be read", "none");
  std::string content(kMostBytes + 1, '\0');
  content.resize(std::fread(content.data(), 1, content.size(), file));
  std::fclose(file);
  if (content.size() > kMostBytes) wrong(name, "up to 65536 bytes", "more");
  return content;
}

// What stands before the next of `marks`, which goes with it.
std::string_view cut(std::string_view& text, std::string_view marks) {
  const std::size_t end = std::min(text.find_first_of(marks), text.size());
  const std::string_view first = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return first;
}

// Digits, perhaps with a point: the C library's own reading follows the language of the process.
double number_of(std::string_view text, bool none, const std::string& where) {
  double number = 0, unit = 0;
  bool digits = false, good = text.size() <= 30;
  for (const char each : text) {
    if (each == '.' && unit == 0) {
      unit = 1;
    } else if (each >= '0' && each <= '9') {
      number = 10 * number + (each - '0'), unit *= 10, digits = true;
    } else {
      good = false;
    }
  }
  if (unit != 0) number /= unit;
  if (!good || !digits || !(number > 0 || none) || number > 1e9) {
    wrong(where, none ? "a number from 0 to 1e9" : "a number above 0, up to 1e9", std::string(text.substr(0, 60)));
  }
  return number;
}

// path level fully_connected convolution ending
void put(std::vector<PathCost>& costs, std::vector<bool>& given, std::string_view line, const std::string& where) {
  const std::string_view path = cut(line, " "), level = cut(line, " ");
  const auto row = std::find_if(costs.begin(), costs.end(),
                                [&](const PathCost& cost) { return traits(cost.path).name == path && cost.level == level; });
  const std::string named = std::string(path.substr(0, 60)) + " " + std::string(level.substr(0, 60));
  if (row == costs.end()) wrong(where, "a path and a level of this library's table", named);
  const auto n = static_cast<std::size_t>(row - costs.begin());
  if (given[n]) wrong(where, "each path and level once", named + " again");
  given[n] = true;
  row->fully_connected = number_of(cut(line, " "), false, where);
  row->convolution = number_of(cut(line, " "), false, where);
  row->ending = number_of(cut(line, " "), true, where);
  if (!line.empty()) wrong(where, "three numbers", "more");
}

}  // namespace

std::vector<PathCost> path_costs() {
  std::vector<PathCost> costs = declared();
  const char* name = std::getenv("LOWBIT_COSTS");
  if (name == nullptr || *name == 0) return costs;
  const std::string content = content_of(name);
  std::string_view left = content;
  if (cut(left, "\n") != kHeading) wrong(name, kHeading, "another first line");
  std::vector<bool> given(costs.size());
  for (std::size_t n = 2; !left.empty(); ++n) {
    const std::string_view line = cut(left, "\n");
    if (!line.empty() && line[0] != '#') put(costs, given, line, std::string(name) + ", line " + std::to_string(n));
  }
  return costs;
}

Paths::Paths(const std::vector<std::string>& levels, const std::string& forced) {
  for (const PathCost& cost : path_costs()) {
    if (std::find(levels.begin(), levels.end(), cost.level) != levels.end()) costs_[static_cast<std::size_t>(cost.path)] = cost;
  }
  if (forced.empty()) return;
  for (std::size_t n = 0; n < kPathCount; ++n) {
    if (kPaths[n].name == forced) forced_ = static_cast<Path>(n);
  }
  if (!forced_) throw Error(Error::Kind::engine, "there is no such path", "path", "one of " + all_paths(), forced, "Leave it out for the cheapest.");
  if (!has(*forced_)) {
    throw Error(Error::Kind::engine, "no kernel that runs here has that path", "path", "one that the level " + levels.back() + " has",
                forced, "Leave it out for the cheapest, or allow a higher level of kernels.");
  }
}

double Paths::cost(Path path, const Products& products) const {
  const PathTraits& can = traits(path);
  if (!has(path) || products.input_bits > can.input_bits || products.weight_bits > can.weight_bits) {
    return std::numeric_limits<double>::infinity();
  }
  if (forced_ == path) return 0;
  const PathCost& cost = *costs_[static_cast<std::size_t>(path)];
  const double pairs = can.by_bits ? products.input_bits * products.weight_bits : 1;
  const auto each = static_cast<double>(round_up(products.channels, can.together) * products.taps);
  return pairs * each * (products.convolution ? cost.convolution : cost.fully_connected) + cost.ending;
}

Path Paths::best(Form values, const Products& products) const {
  Path best = Path::dot;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t n = 0; n < kPathCount; ++n) {
    const auto path = static_cast<Path>(n);
    const double cost = kPaths[n].values == values ? this->cost(path, products) : std::numeric_limits<double>::infinity();
    if (cost < least) best = path, least = cost;
  }
  return best;
}

}  // namespace lowbit
