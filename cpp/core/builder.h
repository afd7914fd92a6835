// Puts a program together, value by value. Every size is checked here, so that running can trust them all.
#pragma once

#include <limits>

#include "convolution.h"
#include "elementwise.h"
#include "maps.h"
#include "word_elements.h"
#include "word_layers.h"

namespace lowbit {

class Builder final {
 public:
  // `level` bounds the kernels; empty means LOWBIT_KERNELS, or the best. Value 0 is the float32 input. What would make the
  // program take more than `allowed` bytes is refused with TooLarge before it takes them.
  Builder(std::size_t features, const std::string& level, std::size_t allowed = std::numeric_limits<std::size_t>::max());
  Builder(const Builder&) = delete;
  Builder& operator=(const Builder&) = delete;

  // Each returns the number of the value that it adds.
  std::size_t encode_planes(std::size_t x, std::span<const float> thresholds, std::span<const std::uint8_t> table);
  std::size_t encode_bytes(std::size_t x, std::span<const float> thresholds, std::span<const std::uint8_t> table);
  std::size_t encode_affine(std::size_t x, double scale, double zero, double top);
  std::size_t plane_fully_connected(std::size_t x, const PlaneWeights& weights, const EpilogueSpec& epilogue);
  std::size_t byte_fully_connected(std::size_t x, const ByteWeights& weights, const EpilogueSpec& epilogue);
  std::size_t float_fully_connected(std::size_t x, Matrix<float> weights, std::span<const float> bias);
  std::size_t weight_only_fully_connected(std::size_t x, const WeightOnlyWeights& weights, std::span<const float> bias);
  // Maps: made by arrange, or by an encoding or a layer that reads one.
  std::size_t arrange(std::size_t x, std::size_t channels, std::size_t height, std::size_t width);
  std::size_t flatten(std::size_t x);
  std::size_t plane_convolution(std::size_t x, const WindowSpec& window, const PlaneWeights& weights,
                                const EpilogueSpec& epilogue);
  std::size_t byte_convolution(std::size_t x, const WindowSpec& window, const ByteWeights& weights,
                               const EpilogueSpec& epilogue);
  std::size_t float_convolution(std::size_t x, const WindowSpec& window, Matrix<float> weights,
                                std::span<const float> bias);
  std::size_t max_pool(std::size_t x, const WindowSpec& window, std::span<const std::uint8_t> ranks);
  std::size_t average_pool(std::size_t x, const WindowSpec& window, bool count_all);
  std::size_t scale_channels(std::size_t x, std::span<const float> scale, std::span<const float> shift);
  std::size_t concatenate(const std::vector<std::size_t>& x);
  std::size_t look_up(std::size_t x, std::span<const std::uint8_t> table);
  std::size_t decode(std::size_t x, std::span<const float> table);
  std::size_t activate(std::size_t x, Function function);
  std::size_t clip(std::size_t x, float low, float high);
  std::size_t combine(std::size_t x, std::size_t y, Arithmetic operation);
  std::size_t combine_constant(std::size_t x, std::span<const float> row, Arithmetic operation);
  // A map of the given size, or, with height 0, a value of that many features that is no map.
  std::size_t gather(std::size_t x, std::span<const std::uint32_t> source, std::size_t channels, std::size_t height,
                     std::size_t width);
  std::size_t softmax(std::size_t x, bool logarithm);
  // Words: see word_layers.h and word_elements.h. Those with a Form give bytes or words.
  std::size_t word_fully_connected(std::size_t x, std::size_t rows, const WordWeights& weights, const EpilogueSpec& epilogue);
  std::size_t word_convolution(std::size_t x, const WindowSpec& window, const WordWeights& weights,
                               const EpilogueSpec& epilogue);
  std::size_t round(std::size_t x, const RounderSpec& spec);
  std::size_t rank(std::size_t x, std::span<const float> thresholds, std::span<const std::int16_t> table);
  std::size_t look_up_entries(std::size_t x, Form form, std::int32_t least, std::span<const std::uint16_t> table);
  std::size_t decode_words(std::size_t x, std::int32_t least, std::span<const float> table);
  std::size_t add_words(std::size_t x, std::size_t y, const EndingSpec& spec);

  // Counts the bytes of constants that the next steps get.
  void take(std::size_t bytes);

  // The program whose result is value `output` (float32). The builder is empty afterwards.
  // Workers may be kept off the caller's processor.
  std::unique_ptr<Program> finish(std::size_t output, std::size_t threads, bool pinned = false);

 private:
  const Value& value(std::size_t n) const;
  // A value of value x's shape.
  Value like(std::size_t x, Kind kind, unsigned range) const;
  Value window_value(Kind kind, unsigned range, std::size_t channels, const Value& input, const WindowSpec& window,
                     std::size_t ending);
  std::size_t add(std::vector<std::size_t> sources, Value result, std::unique_ptr<Step> step);

  KernelSet kernels_;
  std::vector<Value> values_;
  std::vector<std::unique_ptr<Step>> steps_;
  std::size_t allowed_, taken_ = 0;
};

}  // namespace lowbit
