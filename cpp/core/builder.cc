#include "builder.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "error.h"

namespace lowbit {
namespace {

constexpr std::size_t kMaxThreads = 256;
constexpr unsigned kLargestByte = 255;
constexpr std::size_t kEnding = 64;  // bytes of one channel's ending, thresholds aside

unsigned largest(std::span<const std::uint8_t> table) {
  return table.empty() ? 0 : *std::max_element(table.begin(), table.end());
}

unsigned bits_of(std::size_t levels) { return static_cast<unsigned>(std::bit_width(levels) - 1); }

Kind kind_of(Form form) {
  switch (form) {
    case Form::planes: return Kind::planes;
    case Form::words: return Kind::words;
    case Form::reals: return Kind::real;
    default: return Kind::bytes;
  }
}

// Of what an ending leaves; see Value::range.
unsigned range_of(const EndingSpec& ending) {
  switch (ending.form) {
    case Form::planes: return bits_of(ending.table.size());
    case Form::words: return word_range(ending.least(), ending.most());
    case Form::bytes: return static_cast<unsigned>(ending.most());
    default: return 0;
  }
}

Kind kind_of(const EpilogueSpec& epilogue) {
  switch (epilogue.output) {
    case Output::other: return kind_of(epilogue.other.form);
    case Output::planes: return Kind::planes;
    case Output::real: return Kind::real;
    default: return Kind::bytes;
  }
}

unsigned range_of(const EpilogueSpec& epilogue) {
  switch (epilogue.output) {
    case Output::other: return range_of(epilogue.other);
    case Output::planes: return bits_of(epilogue.table.size());
    case Output::bytes: return largest(epilogue.table);
    case Output::affine: return kLargestByte;
    default: return 0;
  }
}

Value flat_value(Kind kind, unsigned range, std::size_t features) {
  return kind == Kind::planes ? planes_value(features, range)
         : kind == Kind::bytes ? bytes_value(features, range)
         : kind == Kind::words ? words_value(features, range)
                               : real_value(features);
}

// The range of two values of one kind together.
unsigned wider(const Value& value, unsigned range) {
  if (value.kind != Kind::words) return std::max(range, value.range());
  const Value other = words_value(1, range);
  return word_range(std::min(value.least(), other.least()), std::max(value.most(), other.most()));
}

Value epilogue_value(std::size_t channels, const EpilogueSpec& epilogue) {
  return flat_value(kind_of(epilogue), range_of(epilogue), channels);
}

}  // namespace

Builder::Builder(std::size_t features, const std::string& level, std::size_t allowed)
    : kernels_(select_kernels(level)), allowed_(allowed) {
  require(features >= 1 && features <= kMaxFeatures, "input", "1 to 2^24 features", std::to_string(features));
  values_.push_back(real_value(features));
}

std::size_t Builder::encode_planes(std::size_t x, std::span<const float> thresholds,
                                   std::span<const std::uint8_t> table) {
  const Value result = like(x, Kind::planes, bits_of(table.size()));
  return add({x}, result, lowbit::encode(kernels_, x, value(x), result, thresholds, table));
}

std::size_t Builder::encode_bytes(std::size_t x, std::span<const float> thresholds,
                                  std::span<const std::uint8_t> table) {
  const Value result = like(x, Kind::bytes, largest(table));
  return add({x}, result, lowbit::encode(kernels_, x, value(x), result, thresholds, table));
}

std::size_t Builder::encode_affine(std::size_t x, double scale, double zero, double top) {
  const Value result = like(x, Kind::bytes, kLargestByte);
  return add({x}, result, lowbit::encode_affine(kernels_, x, value(x), result, scale, zero, top));
}

std::size_t Builder::plane_fully_connected(std::size_t x, const PlaneWeights& weights,
                                           const EpilogueSpec& epilogue) {
  return add({x}, epilogue_value(weights.factors.rows, epilogue),
             lowbit::plane_fully_connected(kernels_, x, value(x), weights, epilogue));
}

std::size_t Builder::byte_fully_connected(std::size_t x, const ByteWeights& weights,
                                          const EpilogueSpec& epilogue) {
  return add({x}, epilogue_value(weights.weights.rows, epilogue),
             lowbit::byte_fully_connected(kernels_, x, value(x), weights, epilogue));
}

std::size_t Builder::float_fully_connected(std::size_t x, Matrix<float> weights, std::span<const float> bias) {
  return add({x}, real_value(weights.rows), lowbit::float_fully_connected(kernels_, x, value(x), weights, bias));
}

std::size_t Builder::weight_only_fully_connected(std::size_t x, const WeightOnlyWeights& weights,
                                                 std::span<const float> bias) {
  return add({x}, real_value(weights.factors.rows),
             lowbit::weight_only_fully_connected(kernels_, x, value(x), weights, bias));
}

std::size_t Builder::arrange(std::size_t x, std::size_t channels, std::size_t height, std::size_t width) {
  require(std::max({channels, height, width}) <= kMaxFeatures && std::min({channels, height, width}) >= 1, "arrange",
          "1 to 2^24 channels, rows and columns", "others");
  const Value result = map_value(value(x).kind, value(x).range(), channels, height, width);
  return add({x}, result, lowbit::arrange(x, value(x), result));
}

std::size_t Builder::flatten(std::size_t x) {
  const Value& input = value(x);
  return add({x}, flat_value(input.kind, input.range(), input.features), lowbit::flatten(x, input));
}

std::size_t Builder::plane_convolution(std::size_t x, const WindowSpec& window, const PlaneWeights& weights,
                                       const EpilogueSpec& epilogue) {
  const Value result = window_value(kind_of(epilogue), range_of(epilogue), weights.factors.rows, value(x), window, weights.factors.rows * kEnding);
  return add({x}, result, lowbit::plane_convolution(kernels_, x, value(x), result, window, weights, epilogue));
}

std::size_t Builder::byte_convolution(std::size_t x, const WindowSpec& window, const ByteWeights& weights,
                                      const EpilogueSpec& epilogue) {
  const Value result = window_value(kind_of(epilogue), range_of(epilogue), weights.weights.rows, value(x), window, weights.weights.rows * kEnding);
  return add({x}, result, lowbit::byte_convolution(kernels_, x, value(x), result, window, weights, epilogue));
}

std::size_t Builder::float_convolution(std::size_t x, const WindowSpec& window, Matrix<float> weights,
                                       std::span<const float> bias) {
  const Value result = window_value(Kind::real, 0, weights.rows, value(x), window, 0);
  return add({x}, result, lowbit::float_convolution(kernels_, x, value(x), result, window, weights, bias));
}

std::size_t Builder::max_pool(std::size_t x, const WindowSpec& window, std::span<const std::uint8_t> ranks) {
  const Value result = window_value(value(x).kind, value(x).range(), value(x).channels(), value(x), window, 0);
  return add({x}, result, lowbit::max_pool(x, value(x), result, window, ranks));
}

std::size_t Builder::average_pool(std::size_t x, const WindowSpec& window, bool count_all) {
  const Value result = window_value(Kind::real, 0, value(x).channels(), value(x), window, 0);
  return add({x}, result, lowbit::average_pool(x, value(x), result, window, count_all));
}

std::size_t Builder::scale_channels(std::size_t x, std::span<const float> scale, std::span<const float> shift) {
  return add({x}, like(x, Kind::real, 0), lowbit::scale_channels(x, value(x), scale, shift));
}

std::size_t Builder::concatenate(const std::vector<std::size_t>& x) {
  require(!x.empty(), "concatenate", "maps", "none");
  std::vector<Value> inputs;
  std::size_t channels = 0;
  unsigned range = value(x[0]).range();
  for (const std::size_t n : x) {
    inputs.push_back(value(n)), channels += value(n).channels(), range = wider(value(n), range);
  }
  const Value& first = inputs[0];
  const Value result = first.pixel == 0 ? flat_value(first.kind, range, channels)
                                        : map_value(first.kind, range, channels, first.height, first.width);
  return add(x, result, lowbit::concatenate(x, inputs, result));
}

std::size_t Builder::look_up(std::size_t x, std::span<const std::uint8_t> table) {
  return add({x}, like(x, Kind::bytes, largest(table)), lowbit::look_up(kernels_, x, value(x), table));
}

std::size_t Builder::decode(std::size_t x, std::span<const float> table) {
  return add({x}, like(x, Kind::real, 0), lowbit::decode(x, value(x), table));
}

std::size_t Builder::activate(std::size_t x, Function function) {
  return add({x}, like(x, Kind::real, 0), lowbit::activate(x, value(x), function));
}

std::size_t Builder::clip(std::size_t x, float low, float high) {
  return add({x}, like(x, Kind::real, 0), lowbit::clip(x, value(x), low, high));
}

std::size_t Builder::combine(std::size_t x, std::size_t y, Arithmetic operation) {
  return add({x, y}, like(x, Kind::real, 0), lowbit::combine(x, y, value(x), value(y), operation));
}

std::size_t Builder::combine_constant(std::size_t x, std::span<const float> row, Arithmetic operation) {
  return add({x}, like(x, Kind::real, 0), lowbit::combine_constant(x, value(x), row, operation));
}

std::size_t Builder::gather(std::size_t x, std::span<const std::uint32_t> source, std::size_t channels,
                            std::size_t height, std::size_t width) {
  require(std::max({channels, height, width}) <= kMaxFeatures && channels >= 1 && (height == 0 || width >= 1), "gather",
          "1 to 2^24 channels, rows and columns", "others");
  const Value& input = value(x);
  const Value result = height == 0 ? flat_value(input.kind, input.range(), channels)
                                   : map_value(input.kind, input.range(), channels, height, width);
  return add({x}, result, lowbit::gather(x, value(x), result, source));
}

std::size_t Builder::softmax(std::size_t x, bool logarithm) {
  return add({x}, like(x, Kind::real, 0), lowbit::softmax(x, value(x), logarithm));
}

std::size_t Builder::word_fully_connected(std::size_t x, std::size_t rows, const WordWeights& weights,
                                          const EpilogueSpec& epilogue) {
  const std::size_t channels = weights.weights.rows;
  require(channels >= 1 && rows >= 1 && rows <= kMaxFeatures / channels, "word_fully_connected", "up to 2^24 outputs", "more");
  const Value result = epilogue_value(rows * channels, epilogue);
  return add({x}, result, lowbit::word_fully_connected(kernels_, x, value(x), result, rows, weights, epilogue));
}

std::size_t Builder::word_convolution(std::size_t x, const WindowSpec& window, const WordWeights& weights,
                                      const EpilogueSpec& epilogue) {
  const Value result = window_value(kind_of(epilogue), range_of(epilogue), weights.weights.rows, value(x), window, weights.weights.rows * kEnding);
  return add({x}, result, lowbit::word_convolution(kernels_, x, value(x), result, window, weights, epilogue));
}

std::size_t Builder::round(std::size_t x, const RounderSpec& spec) {
  EndingSpec ending;
  ending.rule = spec.rule, ending.form = spec.form, ending.low = spec.low, ending.high = spec.high, ending.base = spec.base;
  ending.check_range("round", 0);
  const Value result = like(x, kind_of(spec.form), range_of(ending));
  return add({x}, result, lowbit::round_floats(kernels_, x, value(x), result, spec));
}

std::size_t Builder::rank(std::size_t x, std::span<const float> thresholds, std::span<const std::int16_t> table) {
  require(!table.empty(), "rank", "words", "none");
  const auto [least, most] = std::minmax_element(table.begin(), table.end());
  return add({x}, like(x, Kind::words, word_range(*least, *most)), lowbit::rank_floats(x, value(x), thresholds, table));
}

std::size_t Builder::look_up_entries(std::size_t x, Form form, std::int32_t least, std::span<const std::uint16_t> table) {
  require(!table.empty() && (form == Form::bytes || form == Form::words), "look_up_entries", "bytes or words", "none");
  EndingSpec ending;
  ending.rule = Rule::ranks, ending.form = form, ending.table = table;
  ending.check_range("look_up_entries", 0);
  const Value result = like(x, kind_of(form), range_of(ending));
  return add({x}, result, lowbit::look_up_entries(x, value(x), result, least, table));
}

std::size_t Builder::decode_words(std::size_t x, std::int32_t least, std::span<const float> table) {
  return add({x}, like(x, Kind::real, 0), lowbit::decode_words(x, value(x), least, table));
}

std::size_t Builder::add_words(std::size_t x, std::size_t y, const EndingSpec& spec) {
  const Value result = like(x, Kind::words, word_range(spec.least(), spec.most()));
  return add({x, y}, result, lowbit::add_words(x, y, value(x), value(y), spec));
}

std::unique_ptr<Program> Builder::finish(std::size_t output, std::size_t threads, bool pinned) {
  require(value(output).kind == Kind::real && output != 0 && value(output).pixel == 0, "output",
          "a float value that a step makes, no map",
          "value " + std::to_string(output));
  if (threads < 1 || threads > kMaxThreads) {
    throw Error(Error::Kind::engine, "that many threads cannot be used", "threads",
                "1 to " + std::to_string(kMaxThreads), std::to_string(threads), "Ask for one thread per core.");
  }
  return std::make_unique<Program>(kernels_.holds_nan, std::move(values_), std::move(steps_), output, threads, pinned, taken_,
                                   allowed_);
}

void Builder::take(std::size_t bytes) {
  taken_ = bytes > std::numeric_limits<std::size_t>::max() - taken_ ? std::numeric_limits<std::size_t>::max() : taken_ + bytes;
  if (taken_ > allowed_) throw TooLarge("the network", taken_, allowed_);
}

// Counts the tables of a window: bytes for every output, for every tap of every region, and for every region.
Value Builder::window_value(Kind kind, unsigned range, std::size_t channels, const Value& input, const WindowSpec& window,
                            std::size_t ending) {
  const Axis rows("window", input.height, window.rows), columns("window", input.width, window.columns);
  const Value result = map_value(kind, range, channels, rows.outputs(), columns.outputs());
  constexpr double kOutput = 64, kTap = 32, kRegion = 256, kMost = 1e18;
  const auto real = [](std::size_t n) { return static_cast<double>(n); };
  const double bytes = real(result.pixels()) * kOutput + real(rows.all_taps()) * real(columns.all_taps()) * kTap +
                       real(rows.classes().size()) * real(columns.classes().size()) * (kRegion + real(ending));
  take(static_cast<std::size_t>(std::min(bytes, kMost)));
  return result;
}

const Value& Builder::value(std::size_t n) const {
  require(n < values_.size(), "value", "one that exists already", std::to_string(n));
  return values_[n];
}

Value Builder::like(std::size_t x, Kind kind, unsigned range) const {
  const Value& input = value(x);
  return input.pixel == 0 ? flat_value(kind, range, input.features)
                          : map_value(kind, range, input.channels(), input.height, input.width);
}

std::size_t Builder::add(std::vector<std::size_t> sources, Value result, std::unique_ptr<Step> step) {
  require(result.features >= 1 && result.features <= kMaxFeatures, "value", "1 to 2^24 features",
          std::to_string(result.features));
  step->result = values_.size();
  step->sources = std::move(sources);
  values_.push_back(result);
  steps_.push_back(std::move(step));
  return values_.size() - 1;
}

}  // namespace lowbit
