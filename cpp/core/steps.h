// What a program is made of, as data: a struct for each kind of step, with the fields of its dataclass in
// lowbit/program/steps.py. The binding reads them by name, and a test compares the two. Arrays are the caller's.
#pragma once

#include <variant>
#include <vector>

#include "convolution.h"
#include "elementwise.h"
#include "fields.h"
#include "float_axes.h"
#include "float_elements.h"
#include "float_input_layers.h"
#include "float_values.h"
#include "maps.h"
#include "movement.h"
#include "recurrent.h"
#include "word_codes.h"
#include "word_elements.h"
#include "word_layers.h"
#include "word_pools.h"

namespace lowbit {

// Numbers of the values that a step reads.
using Sources = std::vector<std::size_t>;

namespace steps {

// table[#{acc > thresholds[o]}] as packed codes.
struct PlaneEnding {
  Matrix<std::int32_t> thresholds;
  std::span<const std::uint8_t> table;
  LOWBIT_FIELDS(PlaneEnding, thresholds, table)
};

// The same as bytes.
struct ByteEnding {
  Matrix<std::int32_t> thresholds;
  std::span<const std::uint8_t> table;
  LOWBIT_FIELDS(ByteEnding, thresholds, table)
};

// clip(rint(scale * acc / out_scale) + out_zero, 0, out_top) as bytes.
struct AffineEnding {
  std::span<const double> scale;
  double out_scale, out_zero, out_top;
  LOWBIT_FIELDS(AffineEnding, scale, out_scale, out_zero, out_top)
};

// float32(scale * acc + bias), in float64 until the end.
struct RealEnding {
  std::span<const double> scale, bias;
  LOWBIT_FIELDS(RealEnding, scale, bias)
};

// Endings of any rule: what layers of words end in, and those of bytes and planes where they have no other; see Rule.
// table[#{acc > thresholds[o]}]
struct RankEnding {
  Form form;
  Matrix<std::int64_t> thresholds;
  std::span<const std::uint16_t> table;
  LOWBIT_FIELDS(RankEnding, form, thresholds, table)
};

// clip(round(acc 2^-shift), low, high) - base, in integers
struct ShiftedEnding {
  Form form;
  Rule rule;
  std::int32_t shift, low, high, base;
  LOWBIT_FIELDS(ShiftedEnding, form, rule, shift, low, high, base)
};

// clip(round((scale * acc + bias) / step), low, high) - base, in float64
struct RoundedEnding {
  Form form;
  Rule rule;
  std::span<const double> scale, bias;
  double step;
  std::int32_t low, high, base;
  LOWBIT_FIELDS(RoundedEnding, form, rule, scale, bias, step, low, high, base)
};

using Ending = std::variant<PlaneEnding, ByteEnding, AffineEnding, RealEnding, RankEnding, ShiftedEnding, RoundedEnding>;

struct EncodePlanes {
  std::span<const float> thresholds;
  std::span<const std::uint8_t> table;
  LOWBIT_FIELDS(EncodePlanes, thresholds, table)
};

struct EncodeBytes {
  std::span<const float> thresholds;
  std::span<const std::uint8_t> table;
  LOWBIT_FIELDS(EncodeBytes, thresholds, table)
};

struct EncodeAffine {
  double scale, zero, top;
  LOWBIT_FIELDS(EncodeAffine, scale, zero, top)
};

struct PlaneFullyConnected {
  PlaneWeights weights;
  Ending ending;
  LOWBIT_FIELDS(PlaneFullyConnected, weights, ending)
};

struct ByteFullyConnected {
  ByteWeights weights;
  Ending ending;
  LOWBIT_FIELDS(ByteFullyConnected, weights, ending)
};

struct FloatFullyConnected {
  Matrix<float> weights;
  std::span<const float> bias;
  std::size_t rows;
  LOWBIT_FIELDS(FloatFullyConnected, weights, bias, rows)
};

struct WeightOnlyFullyConnected {
  Matrix<std::uint32_t> planes;
  Matrix<float> factors;
  std::span<const float> offsets, bias;
  LOWBIT_FIELDS(WeightOnlyFullyConnected, planes, factors, offsets, bias)
};

struct GroupedFullyConnected {
  WeightGroups weights;
  std::span<const float> bias;
  std::size_t rows;
  LOWBIT_FIELDS(GroupedFullyConnected, weights, bias, rows)
};

// Maps: made by Arrange, or by an encoding or a layer that reads one.
struct Arrange {
  std::size_t channels, height, width;
  LOWBIT_FIELDS(Arrange, channels, height, width)
};

struct Flatten {
  LOWBIT_FIELDS(Flatten)
};

struct PlaneConvolution {
  AxisSpec rows, columns;
  std::size_t group;
  PlaneWeights weights;
  Ending ending;
  LOWBIT_FIELDS(PlaneConvolution, rows, columns, group, weights, ending)
};

struct ByteConvolution {
  AxisSpec rows, columns;
  std::size_t group;
  ByteWeights weights;
  Ending ending;
  LOWBIT_FIELDS(ByteConvolution, rows, columns, group, weights, ending)
};

struct FloatConvolution {
  AxisSpec rows, columns;
  std::size_t group;
  Matrix<float> weights;
  std::span<const float> bias;
  LOWBIT_FIELDS(FloatConvolution, rows, columns, group, weights, bias)
};

struct MaxPool {
  AxisSpec rows, columns;
  std::span<const std::uint8_t> ranks;
  LOWBIT_FIELDS(MaxPool, rows, columns, ranks)
};

struct AveragePool {
  AxisSpec rows, columns;
  bool count_all;
  LOWBIT_FIELDS(AveragePool, rows, columns, count_all)
};

struct ScaleChannels {
  std::span<const float> scale, shift;
  LOWBIT_FIELDS(ScaleChannels, scale, shift)
};

struct Concatenate {
  LOWBIT_FIELDS(Concatenate)
};

struct LookUp {
  std::span<const std::uint8_t> table;
  LOWBIT_FIELDS(LookUp, table)
};

struct Decode {
  std::span<const float> table;
  LOWBIT_FIELDS(Decode, table)
};

struct Activate {
  Function function;
  LOWBIT_FIELDS(Activate, function)
};

struct Clip {
  float low, high;
  LOWBIT_FIELDS(Clip, low, high)
};

struct Combine {
  Arithmetic operation;
  LOWBIT_FIELDS(Combine, operation)
};

struct CombineConstant {
  std::span<const float> row;
  Arithmetic operation;
  LOWBIT_FIELDS(CombineConstant, row, operation)
};

// A map of the given size, or, with height 0, a value of that many features that is no map; see movement.h.
struct Gather {
  std::span<const std::uint32_t> places;
  std::size_t channels, height, width;
  float fill;
  LOWBIT_FIELDS(Gather, places, channels, height, width, fill)
};

// The same numbers for every sample.
struct Constant {
  std::span<const float> numbers;
  LOWBIT_FIELDS(Constant, numbers)
};

// Along an axis of a sample that is seen as [outer, axis, inner]: see float_axes.h.
struct Softmax {
  std::size_t outer, axis, inner;
  bool logarithm;
  LOWBIT_FIELDS(Softmax, outer, axis, inner, logarithm)
};

struct Reduce {
  std::size_t outer, axis, inner;
  Reduction reduction;
  LOWBIT_FIELDS(Reduce, outer, axis, inner, reduction)
};

struct FindExtreme {
  std::size_t outer, axis, inner;
  bool largest, last;
  LOWBIT_FIELDS(FindExtreme, outer, axis, inner, largest, last)
};

struct SortExtremes {
  std::size_t outer, axis, inner, count;
  bool largest;
  LOWBIT_FIELDS(SortExtremes, outer, axis, inner, count, largest)
};

struct Accumulate {
  std::size_t outer, axis, inner;
  bool exclusive, backwards;
  LOWBIT_FIELDS(Accumulate, outer, axis, inner, exclusive, backwards)
};

// A map of the given size, or, with height 0, a value of that many features that is no map.
struct Resample {
  std::size_t outer, axis, inner;
  Matrix<std::uint32_t> places;
  Matrix<float> weights;
  std::size_t channels, height, width;
  LOWBIT_FIELDS(Resample, outer, axis, inner, places, weights, channels, height, width)
};

// Choices: see float_values.h.
struct Select {
  LOWBIT_FIELDS(Select)
};

struct TakeRows {
  std::size_t outer, axis, inner;
  std::span<const float> table;
  LOWBIT_FIELDS(TakeRows, outer, axis, inner, table)
};

struct TakeElements {
  std::span<const std::uint32_t> first, lengths, strides;
  std::size_t inner;
  LOWBIT_FIELDS(TakeElements, first, lengths, strides, inner)
};

struct PutElements {
  std::span<const std::uint32_t> first, lengths, strides;
  std::size_t inner;
  Writing writing;
  LOWBIT_FIELDS(PutElements, first, lengths, strides, inner, writing)
};

// Products: see float_products.h and recurrent.h.
struct MatrixProduct {
  std::size_t batches, rows, depth, columns;
  bool transposed;
  LOWBIT_FIELDS(MatrixProduct, batches, rows, depth, columns, transposed)
};

struct Recurrent {
  Cell cell;
  Direction direction;
  std::size_t length, batch;
  Matrix<float> weights, recurrent;
  std::span<const float> bias, peepholes;
  Function gate, candidate, output;
  float bound;
  bool coupled, reset_after, has_lengths, has_state, has_cell;
  LOWBIT_FIELDS(Recurrent, cell, direction, length, batch, weights, recurrent, bias, peepholes, gate, candidate, output, bound,
                coupled, reset_after, has_lengths, has_state, has_cell)
};

// Words: see word_layers.h and word_elements.h. Those with a form give bytes or words.
struct WordFullyConnected {
  std::size_t rows;
  WordWeights weights;
  Ending ending;
  LOWBIT_FIELDS(WordFullyConnected, rows, weights, ending)
};

struct WordConvolution {
  AxisSpec rows, columns;
  std::size_t group;
  WordWeights weights;
  Ending ending;
  LOWBIT_FIELDS(WordConvolution, rows, columns, group, weights, ending)
};

struct Round {
  Form form;
  Rule rule;
  double step;
  std::int32_t low, high, base;
  LOWBIT_FIELDS(Round, form, rule, step, low, high, base)
};

struct Rank {
  std::span<const float> thresholds;
  std::span<const std::int16_t> table;
  LOWBIT_FIELDS(Rank, thresholds, table)
};

struct LookUpEntries {
  Form form;
  std::int32_t least;
  std::span<const std::uint16_t> table;
  LOWBIT_FIELDS(LookUpEntries, form, least, table)
};

struct DecodeWords {
  std::int32_t least;
  std::span<const float> table;
  LOWBIT_FIELDS(DecodeWords, least, table)
};

struct AddWords {
  Rule rule;
  std::int32_t shift, low, high;
  LOWBIT_FIELDS(AddWords, rule, shift, low, high)
};

struct AverageWords {
  AxisSpec rows, columns;
  bool count_all;
  Rule rule;
  std::int32_t shift, low, high;
  LOWBIT_FIELDS(AverageWords, rows, columns, count_all, rule, shift, low, high)
};

struct RankWords {
  Form form;
  std::span<const std::int32_t> thresholds;
  std::span<const std::uint16_t> table;
  LOWBIT_FIELDS(RankWords, form, thresholds, table)
};

using Any = std::variant<EncodePlanes, EncodeBytes, EncodeAffine, PlaneFullyConnected, ByteFullyConnected,
                         FloatFullyConnected, WeightOnlyFullyConnected, GroupedFullyConnected, Arrange, Flatten, PlaneConvolution, ByteConvolution,
                         FloatConvolution, MaxPool, AveragePool, ScaleChannels, Concatenate, LookUp, Decode, Activate, Clip,
                         Combine, CombineConstant, Gather, Constant, Softmax, Reduce, FindExtreme, SortExtremes, Accumulate, Resample, Select,
                         TakeRows, TakeElements, PutElements, MatrixProduct, Recurrent, WordFullyConnected, WordConvolution, Round, Rank,
                         LookUpEntries, DecodeWords, AddWords, AverageWords, RankWords>;

}  // namespace steps
}  // namespace lowbit
