#include "builder.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "error.h"
#include "float_products.h"
#include "visit.h"

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

EpilogueSpec spec_of(const steps::PlaneEnding& end) { return {Output::planes, end.thresholds, end.table}; }
EpilogueSpec spec_of(const steps::ByteEnding& end) { return {Output::bytes, end.thresholds, end.table}; }
EpilogueSpec spec_of(const steps::AffineEnding& end) {
  return {Output::affine, {}, {}, end.scale, {}, end.out_scale, end.out_zero, end.out_top};
}
EpilogueSpec spec_of(const steps::RealEnding& end) { return {Output::real, {}, {}, end.scale, end.bias}; }
EpilogueSpec other(const EndingSpec& end) {
  EpilogueSpec spec;
  spec.output = Output::other, spec.other = end;
  return spec;
}
EndingSpec clipped(Rule rule, Form form, std::int32_t low, std::int32_t high, std::int32_t base) {
  EndingSpec end;
  end.rule = rule, end.form = form, end.low = low, end.high = high, end.base = base;
  return end;
}
EpilogueSpec spec_of(const steps::RankEnding& end) { return other({Rule::ranks, end.form, end.thresholds, end.table}); }
EpilogueSpec spec_of(const steps::ShiftedEnding& s) {
  EndingSpec end = clipped(s.rule, s.form, s.low, s.high, s.base);
  end.shift = s.shift;
  return other(end);
}
EpilogueSpec spec_of(const steps::RoundedEnding& s) {
  EndingSpec end = clipped(s.rule, s.form, s.low, s.high, s.base);
  end.scale = s.scale, end.bias = s.bias, end.step = s.step;
  return other(end);
}
EpilogueSpec spec_of(const steps::Ending& end) {
  return visit_held([](const auto& one) { return spec_of(one); }, end);
}

Value epilogue_value(std::size_t channels, const EpilogueSpec& epilogue) {
  return flat_value(kind_of(epilogue), range_of(epilogue), channels);
}

}  // namespace

void check_threads(std::size_t threads) {
  if (threads < 1 || threads > kMaxThreads) {
    throw Error(Error::Kind::engine, "that many threads cannot be used", "threads",
                "1 to " + std::to_string(kMaxThreads), std::to_string(threads), "Ask for one thread per core.");
  }
}

Builder::Builder(const std::vector<std::size_t>& features, const std::string& level, std::size_t allowed, const std::string& path)
    : kernels_(select_kernels(level, path)), allowed_(allowed) {
  for (const std::size_t count : features) {
    require(count >= 1 && count <= kMaxFeatures, "input", "1 to 2^24 features", count);
    values_.push_back(real_value(count));
  }
}

// Adds a step of each kind.
struct Builder::Adder {
  Builder& builder;
  const Sources& x;

  std::size_t operator()(const steps::EncodePlanes& s) const { return encode(s, Kind::planes, bits_of(s.table.size())); }
  std::size_t operator()(const steps::EncodeBytes& s) const { return encode(s, Kind::bytes, largest(s.table)); }

  template <class Encode>
  std::size_t encode(const Encode& s, Kind kind, unsigned range) const {
    const Value result = like(kind, range);
    return put(result, lowbit::encode(kernels(), one(), input(), result, s.thresholds, s.table));
  }

  std::size_t operator()(const steps::EncodeAffine& s) const {
    const Value result = like(Kind::bytes, kLargestByte);
    return put(result, encode_affine(kernels(), one(), input(), result, s.scale, s.zero, s.top));
  }

  std::size_t operator()(const steps::PlaneFullyConnected& s) const {
    const EpilogueSpec end = spec_of(s.ending);
    return put(epilogue_value(s.weights.factors.rows, end), plane_fully_connected(kernels(), one(), input(), s.weights, end));
  }

  std::size_t operator()(const steps::ByteFullyConnected& s) const {
    const EpilogueSpec end = spec_of(s.ending);
    return put(epilogue_value(s.weights.weights.rows, end), byte_fully_connected(kernels(), one(), input(), s.weights, end));
  }

  std::size_t operator()(const steps::FloatFullyConnected& s) const {
    const std::size_t channels = s.weights.rows;
    require(channels >= 1 && s.rows >= 1 && s.rows <= kMaxFeatures / channels, "float_fully_connected", "up to 2^24 outputs",
            "more");
    return put(real_value(s.rows * channels), float_fully_connected(kernels(), one(), input(), s.weights, s.bias, s.rows));
  }

  std::size_t operator()(const steps::WeightOnlyFullyConnected& s) const {
    return put(real_value(s.factors.rows),
               weight_only_fully_connected(kernels(), one(), input(), {s.planes, s.factors, s.offsets}, s.bias));
  }

  std::size_t operator()(const steps::GroupedFullyConnected& s) const {
    const std::size_t channels = s.weights.factors.rows;
    require(channels >= 1 && s.rows >= 1 && s.rows <= kMaxFeatures / channels, "weight_group_fully_connected", "up to 2^24 outputs",
            "more");
    return put(real_value(s.rows * channels),
               weight_group_fully_connected(kernels(), one(), input(), s.weights, s.bias, s.rows));
  }

  std::size_t operator()(const steps::Arrange& s) const {
    require(std::max({s.channels, s.height, s.width}) <= kMaxFeatures && std::min({s.channels, s.height, s.width}) >= 1,
            "arrange", "1 to 2^24 channels, rows and columns", "others");
    const Value result = map_value(input().kind, input().range(), s.channels, s.height, s.width);
    return put(result, arrange(one(), input(), result));
  }

  std::size_t operator()(const steps::Flatten&) const {
    return put(flat_value(input().kind, input().range(), input().features), flatten(one(), input()));
  }

  std::size_t operator()(const steps::PlaneConvolution& s) const {
    const EpilogueSpec end = spec_of(s.ending);
    const Value result = window_value(end, s.weights.factors.rows, s);
    return put(result, plane_convolution(kernels(), one(), input(), result, {s.rows, s.columns, s.group}, s.weights, end));
  }

  std::size_t operator()(const steps::ByteConvolution& s) const {
    const EpilogueSpec end = spec_of(s.ending);
    const Value result = window_value(end, s.weights.weights.rows, s);
    return put(result, byte_convolution(kernels(), one(), input(), result, {s.rows, s.columns, s.group}, s.weights, end));
  }

  std::size_t operator()(const steps::FloatConvolution& s) const {
    const Value result = window_value(Kind::real, 0, s.weights.rows, s);
    return put(result, float_convolution(kernels(), one(), input(), result, {s.rows, s.columns, s.group}, s.weights, s.bias));
  }

  std::size_t operator()(const steps::MaxPool& s) const {
    const Value result = window_value(input().kind, input().range(), input().channels(), s);
    return put(result, max_pool(one(), input(), result, {s.rows, s.columns}, s.ranks));
  }

  std::size_t operator()(const steps::AveragePool& s) const {
    const Value result = window_value(Kind::real, 0, input().channels(), s);
    return put(result, average_pool(one(), input(), result, {s.rows, s.columns}, s.count_all));
  }

  std::size_t operator()(const steps::ScaleChannels& s) const {
    return put(like(Kind::real, 0), scale_channels(one(), input(), s.scale, s.shift));
  }

  std::size_t operator()(const steps::Concatenate&) const {
    require(!x.empty(), "concatenate", "maps", "none");
    std::vector<Value> inputs;
    std::size_t channels = 0;
    unsigned range = builder.value(x[0]).range();
    for (const std::size_t n : x) {
      inputs.push_back(builder.value(n)), channels += inputs.back().channels(), range = wider(inputs.back(), range);
    }
    const Value& first = inputs[0];
    const Value result = first.pixel == 0 ? flat_value(first.kind, range, channels)
                                          : map_value(first.kind, range, channels, first.height, first.width);
    return put(result, concatenate(x, inputs, result));
  }

  std::size_t operator()(const steps::LookUp& s) const {
    return put(like(Kind::bytes, largest(s.table)), look_up(kernels(), one(), input(), s.table));
  }

  std::size_t operator()(const steps::Decode& s) const { return put(like(Kind::real, 0), decode(one(), input(), s.table)); }

  std::size_t operator()(const steps::Activate& s) const {
    return put(like(Kind::real, 0), activate(kernels(), one(), input(), s.function));
  }

  std::size_t operator()(const steps::Clip& s) const { return put(like(Kind::real, 0), clip(kernels(), one(), input(), s.low, s.high)); }

  std::size_t operator()(const steps::Combine& s) const {
    require(x.size() == 2, "combine", "two values", x.size());
    const Value& first = builder.value(x[0]);
    return put(like(first, Kind::real, 0), combine(kernels(), x[0], x[1], first, builder.value(x[1]), s.operation));
  }

  std::size_t operator()(const steps::CombineConstant& s) const {
    return put(like(Kind::real, 0), combine_constant(kernels(), one(), input(), s.row, s.operation));
  }

  std::size_t operator()(const steps::Gather& s) const {
    const Value result = placed("gather", input().kind, input().range(), s);
    return put(result, gather(one(), input(), result, s.places, s.fill));
  }

  std::size_t operator()(const steps::Constant& s) const {
    require(x.empty(), "constant", "nothing to read", x.size());
    return put(real_value(s.numbers.size()), constant(s.numbers));
  }

  std::size_t operator()(const steps::Softmax& s) const {
    return put(like(Kind::real, 0), softmax(kernels(), one(), input(), view(s), s.logarithm));
  }

  std::size_t operator()(const steps::Reduce& s) const {
    return put(along(s, 1), reduce(kernels(), one(), input(), view(s), s.reduction));
  }

  std::size_t operator()(const steps::FindExtreme& s) const {
    return put(along(s, 1), find_extreme(one(), input(), view(s), s.largest, s.last));
  }

  std::size_t operator()(const steps::SortExtremes& s) const {
    require(s.count <= kMaxFeatures / 2, "sort_extremes", "up to 2^23 elements", s.count);
    return put(along(s, 2 * s.count), sort_extremes(one(), input(), view(s), s.count, s.largest));
  }

  std::size_t operator()(const steps::Accumulate& s) const {
    return put(like(Kind::real, 0), accumulate(one(), input(), view(s), s.exclusive, s.backwards));
  }

  std::size_t operator()(const steps::Resample& s) const {
    const Value result = placed("resample", Kind::real, 0, s);
    return put(result, resample(one(), input(), result, view(s), s.places, s.weights));
  }

  std::size_t operator()(const steps::Select&) const {
    require(x.size() == 3, "select", "three values", x.size());
    const std::vector<Value> inputs = read();
    const Value& largest = *std::max_element(inputs.begin(), inputs.end(),
                                             [](const Value& a, const Value& b) { return a.features < b.features; });
    return put(like(largest, Kind::real, 0), select(x, inputs));
  }

  std::size_t operator()(const steps::TakeRows& s) const {
    require(x.size() == (s.table.empty() ? 2u : 1u), "take_rows", "places, and without a table what to take from", x.size());
    const std::vector<Value> inputs = read();
    const std::size_t count = inputs.back().features;
    require(s.outer >= 1 && s.inner >= 1 && s.outer <= kMaxFeatures && s.inner <= kMaxFeatures / s.outer &&
                count <= kMaxFeatures / (s.outer * s.inner),
            "take_rows", "up to 2^24 elements", "more");
    return put(real_value(s.outer * count * s.inner), take_rows(x, inputs, view(s), s.table));
  }

  std::size_t operator()(const steps::TakeElements& s) const {
    require(x.size() == 2, "take_elements", "what to take from, and places", x.size());
    auto step = take_elements(x, read(), {s.first, s.lengths, s.strides, s.inner});
    return put(real_value(s.first.size() * s.inner), std::move(step));
  }

  std::size_t operator()(const steps::PutElements& s) const {
    require(x.size() == 3, "put_elements", "what to change, places, and what is written", x.size());
    const std::vector<Value> inputs = read();
    return put(real_value(inputs[0].features), put_elements(x, inputs, {s.first, s.lengths, s.strides, s.inner}, s.writing));
  }

  std::size_t operator()(const steps::MatrixProduct& s) const {
    require(x.size() == 2, "matrix_product", "two values", x.size());
    const auto fits = [](std::size_t a, std::size_t b) { return a <= kMaxFeatures && b <= kMaxFeatures && a * b <= kMaxFeatures; };
    require(fits(s.batches, s.rows) && fits(s.batches * s.rows, s.columns) && fits(s.depth, s.columns), "matrix_product",
            "up to 2^24 elements", "more");
    builder.take(sizeof(float) * round_up(s.columns, kGroup) * s.depth);
    return put(real_value(s.batches * s.rows * s.columns),
               matrix_product(kernels(), x[0], x[1], builder.value(x[0]), builder.value(x[1]),
                              {s.batches, s.rows, s.depth, s.columns, s.transposed}));
  }

  std::size_t operator()(const steps::Recurrent& s) const {
    require(!x.empty(), "recurrent", "a sequence", "nothing");
    const RecurrentSpec spec{s.cell,   s.direction, s.length, s.batch, s.weights,     s.recurrent,   s.bias,      s.peepholes,
                             s.gate,   s.candidate, s.output, s.bound, s.coupled,     s.reset_after, s.has_lengths, s.has_state,
                             s.has_cell};
    const double features = static_cast<double>(spec.directions() * spec.hidden()) * static_cast<double>(s.batch) * static_cast<double>(s.length + 2);
    require(s.length <= kMaxFeatures && s.batch <= kMaxFeatures && features <= static_cast<double>(kMaxFeatures), "recurrent",
            "up to 2^24 elements", "more");
    return put(real_value(spec.features()), recurrent(kernels(), x, read(), spec));
  }

  std::size_t operator()(const steps::WordFullyConnected& s) const {
    const EpilogueSpec end = spec_of(s.ending);
    const std::size_t channels = s.weights.weights.rows;
    require(channels >= 1 && s.rows >= 1 && s.rows <= kMaxFeatures / channels, "word_fully_connected", "up to 2^24 outputs",
            "more");
    const Value result = epilogue_value(s.rows * channels, end);
    return put(result, word_fully_connected(kernels(), one(), input(), result, s.rows, s.weights, end));
  }

  std::size_t operator()(const steps::WordConvolution& s) const {
    const EpilogueSpec end = spec_of(s.ending);
    const Value result = window_value(end, s.weights.weights.rows, s);
    return put(result, word_convolution(kernels(), one(), input(), result, {s.rows, s.columns, s.group}, s.weights, end));
  }

  std::size_t operator()(const steps::Round& s) const {
    const EndingSpec ending = clipped(s.rule, s.form, s.low, s.high, s.base);
    ending.check_range("round", 0);
    const Value result = like(kind_of(s.form), range_of(ending));
    return put(result, round_floats(kernels(), one(), input(), result, {s.rule, s.form, s.step, s.low, s.high, s.base}));
  }

  std::size_t operator()(const steps::Rank& s) const {
    require(!s.table.empty(), "rank", "words", "none");
    const auto [least, most] = std::minmax_element(s.table.begin(), s.table.end());
    return put(like(Kind::words, word_range(*least, *most)), rank_floats(one(), input(), s.thresholds, s.table));
  }

  std::size_t operator()(const steps::LookUpEntries& s) const {
    require(!s.table.empty() && (s.form == Form::bytes || s.form == Form::words), "look_up_entries", "bytes or words", "none");
    const EndingSpec ending{Rule::ranks, s.form, {}, s.table};
    ending.check_range("look_up_entries", 0);
    const Value result = like(kind_of(s.form), range_of(ending));
    return put(result, look_up_entries(kernels(), one(), input(), result, s.least, s.table));
  }

  std::size_t operator()(const steps::DecodeWords& s) const {
    return put(like(Kind::real, 0), decode_words(one(), input(), s.least, s.table));
  }

  std::size_t operator()(const steps::AddWords& s) const {
    require(x.size() == 2, "add_words", "two values", x.size());
    EndingSpec ending = clipped(s.rule, Form::words, s.low, s.high, 0);
    ending.shift = s.shift;
    const Value& first = builder.value(x[0]);
    const Value result = like(first, Kind::words, word_range(ending.least(), ending.most()));
    return put(result, add_words(kernels(), x[0], x[1], first, builder.value(x[1]), ending));
  }

  std::size_t operator()(const steps::AverageWords& s) const {
    EndingSpec ending = clipped(s.rule, Form::words, s.low, s.high, 0);
    ending.shift = s.shift;
    const Value result = window_value(Kind::words, word_range(ending.least(), ending.most()), input().channels(), s);
    return put(result, average_words(kernels(), one(), input(), result, {s.rows, s.columns}, s.count_all, ending));
  }

  std::size_t operator()(const steps::RankWords& s) const {
    require(!s.table.empty() && s.form != Form::reals, "rank_words", "planes, bytes or words", "none");
    const EndingSpec ending{Rule::ranks, s.form, {}, s.table};
    const unsigned bits = bits_of(s.table.size());
    const bool fits = s.form != Form::planes || (std::has_single_bit(s.table.size()) && bits >= 1 && bits <= kMaxPlanes);
    require(fits, "rank_words", "a table of 2, 4, 8 or 16 codes", s.table.size());
    ending.check_range("rank_words", bits);
    const Value result = like(kind_of(s.form), range_of(ending));
    return put(result, rank_words(kernels(), one(), input(), result, s.thresholds, s.table));
  }

 private:
  const KernelSet& kernels() const { return builder.kernels_; }

  std::size_t one() const {
    require(x.size() == 1, "step", "one value to read", x.size());
    return x[0];
  }

  const Value& input() const { return builder.value(one()); }
  Value like(Kind kind, unsigned range) const { return like(input(), kind, range); }

  std::vector<Value> read() const {
    std::vector<Value> values;
    for (const std::size_t n : x) values.push_back(builder.value(n));
    return values;
  }

  template <class Along>
  static AxisView view(const Along& s) {
    return {s.outer, s.axis, s.inner};
  }

  // What has so many elements in place of an axis.
  template <class Along>
  Value along(const Along& s, std::size_t length) const {
    view(s).check(Along::kName, input());
    require(length <= kMaxFeatures / (s.outer * s.inner), Along::kName, "up to 2^24 elements", "more");
    return real_value(s.outer * length * s.inner);
  }

  // A map of a step's channels, height and width, or, with height 0, a value of that many features.
  template <class Placed>
  static Value placed(const char* where, Kind kind, unsigned range, const Placed& s) {
    require(std::max({s.channels, s.height, s.width}) <= kMaxFeatures && s.channels >= 1 && (s.height == 0 || s.width >= 1), where,
            "1 to 2^24 channels, rows and columns", "others");
    return s.height == 0 ? flat_value(kind, range, s.channels) : map_value(kind, range, s.channels, s.height, s.width);
  }

  // A value of the same shape.
  static Value like(const Value& x, Kind kind, unsigned range) {
    return x.pixel == 0 ? flat_value(kind, range, x.features) : map_value(kind, range, x.channels(), x.height, x.width);
  }

  std::size_t put(const Value& result, std::unique_ptr<Step> step) const { return builder.put(x, result, std::move(step)); }

  template <class Layer>
  Value window_value(const EpilogueSpec& end, std::size_t channels, const Layer& s) const {
    return window_value(kind_of(end), range_of(end), channels, s, channels * kEnding);
  }

  // Counts the tables of a window: bytes for every output, for every tap of every region, and for every region.
  template <class Windowed>
  Value window_value(Kind kind, unsigned range, std::size_t channels, const Windowed& s, std::size_t ending = 0) const {
    const Axis rows("window", input().height, s.rows), columns("window", input().width, s.columns);
    const Value result = map_value(kind, range, channels, rows.outputs(), columns.outputs());
    constexpr double kOutput = 64, kTap = 32, kRegion = 256, kMost = 1e18;
    const auto real = [](std::size_t n) { return static_cast<double>(n); };
    const double bytes = real(result.pixels()) * kOutput + real(rows.all_taps()) * real(columns.all_taps()) * kTap +
                         real(rows.classes().size()) * real(columns.classes().size()) * (kRegion + real(ending));
    builder.take(static_cast<std::size_t>(std::min(bytes, kMost)));
    return result;
  }
};

std::size_t Builder::add(const Sources& x, const steps::Any& step) { return visit_held(Adder{*this, x}, step); }

std::unique_ptr<Program> Builder::finish(const std::vector<std::size_t>& outputs, std::size_t threads, bool pinned) {
  const std::size_t inputs = values_.size() - steps_.size();
  require(!outputs.empty(), "output", "one or more", "none");
  for (const std::size_t output : outputs) {
    require(value(output).kind == Kind::real && output >= inputs && value(output).pixel == 0 &&
                std::count(outputs.begin(), outputs.end(), output) == 1,
            "output", "a float value that a step makes, no map, once", {"value ", output});
  }
  check_threads(threads);
  return std::make_unique<Program>(kernels_.holds_nan, std::move(values_), std::move(steps_), outputs, threads, pinned, taken_,
                                   allowed_);
}

void Builder::take(std::size_t bytes) {
  taken_ = bytes > std::numeric_limits<std::size_t>::max() - taken_ ? std::numeric_limits<std::size_t>::max() : taken_ + bytes;
  if (taken_ > allowed_) throw TooLarge("the network", taken_, allowed_);
}

const Value& Builder::value(std::size_t n) const {
  require(n < values_.size(), "value", "one that exists already", n);
  return values_[n];
}

std::size_t Builder::put(Sources sources, Value result, std::unique_ptr<Step> step) {
  require(result.features >= 1 && result.features <= kMaxFeatures, "value", "1 to 2^24 features",
          result.features);
  step->result = values_.size();
  step->sources = std::move(sources);
  values_.push_back(result);
  steps_.push_back(std::move(step));
  return values_.size() - 1;
}

}  // namespace lowbit
