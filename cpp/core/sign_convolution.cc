#include "sign_convolution.h"

#include <array>
#include <cmath>
#include <limits>

#include "convolution.h"
#include "elementwise.h"
#include "error.h"

namespace lowbit {
namespace {

Value output_map(std::size_t channels, const Value& input, const WindowSpec& window) {
  const Axis rows("window", input.height, window.rows), columns("window", input.width, window.columns);
  return map_value(Kind::real, 0, channels, rows.outputs(), columns.outputs());
}

// A step that reads the value before its result.
std::unique_ptr<Step> filling(std::size_t result, std::unique_ptr<Step> step) {
  step->sources = {result - 1}, step->result = result;
  return step;
}

}  // namespace

std::unique_ptr<Program> sign_convolution(const MapShape& shape, const WindowSpec& window,
                                          Matrix<std::uint32_t> planes, std::span<const double> scale,
                                          const std::string& level, std::size_t threads) {
  const auto& [channels, height, width] = shape;
  const KernelSet kernels = select_kernels(level);
  std::vector<Value> values{map_value(Kind::real, 0, channels, height, width),
                            map_value(Kind::planes, 1, channels, height, width)};
  const float below_zero = std::nextafter(0.0f, -1.0f);  // zero is +1
  const std::array<std::uint8_t, 2> table{0, 1};
  std::vector<std::unique_ptr<Step>> steps;
  steps.push_back(filling(1, encode(kernels, 0, values[0], values[1], {&below_zero, 1}, table)));

  const std::vector<std::int32_t> ones(planes.rows, 1);
  const std::vector<double> bias(planes.rows, 0.0);
  EpilogueSpec ending;
  ending.scale = scale, ending.bias = bias;
  values.push_back(output_map(planes.rows, values[1], window));
  const PlaneWeights weights{planes, {ones.data(), planes.rows, 1}, {}, {ones.data(), 1}};
  steps.push_back(filling(2, plane_convolution(kernels, 1, values[1], values[2], window, weights, ending)));
  // NaN of a training that fails is its loop's to find: it has no kernel to look for it.
  return std::make_unique<Program>(Kernel<holds_nan_kernel>{}, std::move(values), std::move(steps), std::vector<std::size_t>{2}, threads, false, 0,
                                   std::numeric_limits<std::size_t>::max());
}

}  // namespace lowbit
