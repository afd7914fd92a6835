#include "builder.h"

#include <algorithm>
#include <bit>

#include "error.h"

namespace lowbit {
namespace {

constexpr std::size_t kMaxFeatures = std::size_t{1} << 24;
constexpr std::size_t kMaxThreads = 256;

Value real_value(std::size_t features) { return {Kind::real, features, 0, 4 * features, 0, 0}; }

Value bytes_value(std::size_t features, unsigned top) {
  return {Kind::bytes, features, static_cast<unsigned>(std::bit_width(top)), round_up(features, 16), 0, 0};
}

unsigned largest(std::span<const std::uint8_t> table) {
  return table.empty() ? 0 : *std::max_element(table.begin(), table.end());
}

Value planes_value(std::size_t features, std::size_t levels) {
  const auto bits = static_cast<unsigned>(std::bit_width(levels) - 1);
  const std::size_t plane = round_up(features, 64) / 8;
  return {Kind::planes, features, bits, bits * plane, plane, 0};
}

Value epilogue_value(std::size_t channels, const EpilogueSpec& epilogue) {
  switch (epilogue.output) {
    case Output::planes: return planes_value(channels, epilogue.table.size());
    case Output::real: return real_value(channels);
    case Output::bytes: return bytes_value(channels, largest(epilogue.table));
    case Output::affine: break;
  }
  return bytes_value(channels, 255);
}

}  // namespace

Builder::Builder(std::size_t features, const std::string& level) : kernels_(select_kernels(level)) {
  require(features >= 1 && features <= kMaxFeatures, "input", "1 to 2^24 features", std::to_string(features));
  values_.push_back(real_value(features));
}

std::size_t Builder::encode_planes(std::size_t x, std::span<const float> thresholds,
                                   std::span<const std::uint8_t> table) {
  return add(planes_value(value(x).features, table.size()),
             lowbit::encode(kernels_, x, value(x), Output::planes, thresholds, table));
}

std::size_t Builder::encode_bytes(std::size_t x, std::span<const float> thresholds,
                                  std::span<const std::uint8_t> table) {
  return add(bytes_value(value(x).features, largest(table)),
             lowbit::encode(kernels_, x, value(x), Output::bytes, thresholds, table));
}

std::size_t Builder::encode_affine(std::size_t x, double scale, double zero, double top) {
  return add(bytes_value(value(x).features, 255), lowbit::encode_affine(kernels_, x, value(x), scale, zero, top));
}

std::size_t Builder::plane_fully_connected(std::size_t x, const PlaneWeights& weights,
                                           const EpilogueSpec& epilogue) {
  return add(epilogue_value(weights.factors.rows, epilogue),
             lowbit::plane_fully_connected(kernels_, x, value(x), weights, epilogue));
}

std::size_t Builder::byte_fully_connected(std::size_t x, const ByteWeights& weights,
                                          const EpilogueSpec& epilogue) {
  return add(epilogue_value(weights.weights.rows, epilogue),
             lowbit::byte_fully_connected(kernels_, x, value(x), weights, epilogue));
}

std::size_t Builder::float_fully_connected(std::size_t x, Matrix<float> weights, std::span<const float> bias) {
  return add(real_value(weights.rows), lowbit::float_fully_connected(kernels_, x, value(x), weights, bias));
}

std::size_t Builder::look_up(std::size_t x, std::span<const std::uint8_t> table) {
  return add(bytes_value(value(x).features, largest(table)), lowbit::look_up(x, value(x), table));
}

std::size_t Builder::decode(std::size_t x, std::span<const float> table) {
  return add(real_value(value(x).features), lowbit::decode(x, value(x), table));
}

std::size_t Builder::activate(std::size_t x, Function function) {
  return add(real_value(value(x).features), lowbit::activate(x, value(x), function));
}

std::size_t Builder::clip(std::size_t x, float low, float high) {
  return add(real_value(value(x).features), lowbit::clip(x, value(x), low, high));
}

std::size_t Builder::combine(std::size_t x, std::size_t y, Arithmetic operation) {
  return add(real_value(value(x).features), lowbit::combine(x, y, value(x), value(y), operation));
}

std::size_t Builder::combine_constant(std::size_t x, std::span<const float> row, Arithmetic operation) {
  return add(real_value(value(x).features), lowbit::combine_constant(x, value(x), row, operation));
}

std::size_t Builder::softmax(std::size_t x, bool logarithm) {
  return add(real_value(value(x).features), lowbit::softmax(x, value(x), logarithm));
}

std::unique_ptr<Program> Builder::finish(std::size_t output, std::size_t threads) {
  require(value(output).kind == Kind::real && output != 0, "output", "a float value that a step makes",
          "value " + std::to_string(output));
  if (threads < 1 || threads > kMaxThreads) {
    throw Error(Error::Kind::engine, "that many threads cannot be used", "threads",
                "1 to " + std::to_string(kMaxThreads), std::to_string(threads), "Ask for one thread per core.");
  }
  return std::make_unique<Program>(std::move(values_), std::move(steps_), output, threads);
}

const Value& Builder::value(std::size_t n) const {
  require(n < values_.size(), "value", "one that exists already", std::to_string(n));
  return values_[n];
}

std::size_t Builder::add(Value result, std::unique_ptr<Step> step) {
  require(result.features <= kMaxFeatures, "value", "at most 2^24 features", std::to_string(result.features));
  step->result = values_.size();
  values_.push_back(result);
  steps_.push_back(std::move(step));
  return values_.size() - 1;
}

}  // namespace lowbit
