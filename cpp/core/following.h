// What stands behind a layer and only changes each of its results: bounds, codes of floats, a table. Such a layer can end with all
// of it at once, so that the results between never reach memory. Found when a program is loaded, as chains of elementwise steps
// are: a plan says what is computed, and a trace still runs step by step.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

namespace lowbit {

class Step;
struct AffineEncoder;
struct Epilogue;
struct Rows;
struct Value;

struct Following {
  float low = -std::numeric_limits<float>::infinity(), high = std::numeric_limits<float>::infinity();
  bool encodes = false;  // clip(rint(x / scale) + zero, 0, top), of floats
  double scale = 1, zero = 0, top = 0;
  const AffineEncoder* encoder = nullptr;  // the same for a kernel of floats
  bool (*encode)(const AffineEncoder&, const Rows&) = nullptr;
  const std::uint8_t* table = nullptr;  // of 256, of bytes
};

// Whether `e` now ends as it did with `next` behind it, exactly. Else it is as it was.
bool follow(Epilogue& e, const Following& next);

// Finds layers, and chains in `turns`, with such steps behind them, whose results nobody else reads. They get the turn of the last of
// these steps, in which the step in `turns` runs instead of it; see join_chains.
void join_endings(const std::vector<std::unique_ptr<Step>>& steps, const std::vector<Value>& values,
                  std::vector<std::unique_ptr<Step>>& turns);

// Whether rint(scale n / out_scale) is rint((scale / out_scale) n) for all integers n of 32 bits where that is within
// [low, high], and the second, which takes no division, fits 32 bits for all of them.
bool is_one_rate(double scale, double out_scale, double low, double high);

// A rate with which floats x round as rint(x rate) to what rint(x / scale) is, where that is within [low, high]; 0 if none is found.
double rate_of_floats(double scale, double low, double high);

}  // namespace lowbit
