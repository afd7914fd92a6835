// What a kernel is given: rows of samples, a layer's constants in the kernel's own layout, and how an
// accumulator becomes an output. Declarations only: this header is compiled with every instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ending.h"

namespace lowbit {

// Output channels that a kernel finishes together: one vector of int32, one 16-bit piece of a plane.
inline constexpr std::size_t kGroup = 16;
// Codes in planes have up to 4 bits; codes in bytes up to 8.
inline constexpr unsigned kMaxPlanes = 4;
inline constexpr unsigned kMaxBits = 8;
inline constexpr std::size_t kMaxLevels = std::size_t{1} << kMaxBits;

enum class Output : std::uint8_t {
  planes,  // rank among the thresholds -> code -> packed bits
  bytes,   // rank among the thresholds -> one byte
  affine,  // clip(rint(scale * acc / out_scale), out_low, out_high) + out_zero -> one byte; see below
  real,    // float32(scale * acc + bias)
  other,   // as `ending` says
};

// Of two floats; those that answer give 1 or 0. subtract_from, divide_into: b - a, b / a. minimum, maximum: NaN before all
// else. modulo: what is left of a / b, with the sign of b; remainder: with that of a; quotient: a / b without its fraction.
enum class Arithmetic : std::uint8_t {
  add, subtract, multiply, divide, subtract_from, divide_into, minimum, maximum, power, modulo, remainder, quotient,
  less, less_or_equal, greater, greater_or_equal, equal, both, either, one_alone,
};

// Of one float. round: half to even; is_true: 1 unless it is 0.
enum class Function : std::uint8_t {
  identity, tanh, sigmoid, elu, exponential, logarithm, absolute, square_root, reciprocal, error, sine, cosine, floor,
  ceiling, truncate, round, negative, sign, is_true, is_false, is_nan, relu, tangent, arc_sine, arc_cosine, arc_tangent,
  hyperbolic_sine, hyperbolic_cosine, inverse_hyperbolic_sine, inverse_hyperbolic_cosine, inverse_hyperbolic_tangent,
};

// Of a row of floats, in float64, then rounded once. maximum, minimum: NaN before all else.
enum class Reduction : std::uint8_t { sum, mean, maximum, minimum, product, sum_of_squares, absolute_sum };

// Of a group of channels: clip(floor(rate n + (rest n + first)), low, high) + zero of n = start + (what the kernel summed up), which
// is all of what such a layer ends in. The inner sum is rounded once, the outer one not at all; see lines.h.
struct LineGroup {
  std::int32_t start[kGroup];
  float rate[kGroup], rest[kGroup], first[kGroup];
};

// Of two groups of channels: ranks among up to fifteen thresholds, from sums that are narrowed to words,
//   word = ((start + (what the kernel summed up)) >> shift), saturated.
// It has the rank that the sum has unless it is the word of a threshold; then the sum is compared. Words of both groups lie as
// vectors of sums are packed: four of the first group, four of the second, and so on. Fewer thresholds are followed by the highest word.
inline constexpr std::size_t kNarrow = 2 * kGroup, kNarrowSteps = 15;

struct NarrowRanks {
  std::int32_t start[kNarrow], shift[kNarrow];
  std::int16_t thresholds[kNarrowSteps][kNarrow];
  alignas(64) std::uint32_t shifted;  // the words of channels whose sums are shifted; others have their ranks always
  bool upper;  // there are fifteen thresholds, and all sums exceed the first seven
  bool alone;  // there is no second group, and what there would be of it is the first one's
};

// From the accumulator to the output. Arrays by channel are padded to whole groups.
//   acc = constant[o] + row_factor[o] * row_sum + (what the kernel summed up)
struct Epilogue {
  Output output;
  std::size_t channels;             // real ones; the last group may be partial
  const std::int32_t* constant;     // [groups * 16]
  const std::int32_t* row_factor;   // [groups * 16], or null
  unsigned bits;                    // planes, bytes: there are 2^bits - 1 thresholds
  const std::int32_t* thresholds;   // [groups][2^bits - 1][16], rising; rank = #{acc > T}; padding is never exceeded
  bool rank_is_code;                // planes: the table is the identity
  std::uint8_t table[kMaxLevels];   // rank -> code, or byte
  const double* scale;              // [groups * 16]
  const double* bias;               // [groups * 16], or null: all zero
  double out_scale;
  std::int32_t out_low, out_high, out_zero;
  bool quick;       // affine: scale has out_scale in it already, and what is rounded fits int32
  bool single;      // affine: of float32(scale * acc + bias) times out_rate
  double out_rate;
  bool line;        // affine, quick: without out_zero it is clip(rint(line_rate * code + line_first), line_low, line_high) in float32
  float line_rate, line_first;
  std::int32_t line_low, line_high;
  const Ending* ending;             // other; of layers of words always
  const NarrowRanks* narrow;        // [pairs of groups]: bytes of up to 4 bits, where there are such; else null
  const LineGroup* lines;           // [groups, in whole blocks]: affine and other endings that have them, in bytes or words; else null
  std::int32_t lines_low, lines_high, lines_zero;
  bool lines_words;
};

// A block of samples. Row r of the input starts at x + r * x_row, its plane i at + i * x_plane (bytes).
// Input planes are padded with zero bits to whole 64-bit words; input bytes are readable to a multiple of 8.
struct Rows {
  std::size_t count;
  const std::byte* x;
  std::size_t x_row, x_plane;
  const std::int32_t* sums;  // [count], or one for each output pixel, where the layer has a row_factor
  std::byte* y;
  std::size_t y_row, y_plane;
  bool backwards = false;  // a single row may read the weights from the last to the first
};

// Threads share a layer in blocks of so many groups: their weights may lie side by side.
inline constexpr std::size_t kBlock = 4;

// Groups [begin, end) of output channels; begin is that of a block.
struct Groups {
  std::size_t begin, end;
};

// acc = sum_ij mx_i mw_oj (n - 2 popcount(x_i ^ w_oj)); the constant carries the n. The kernel's sum is
//   sum_j weight_factor[o][j] * sum_i input_factor[i] * (-popcount(x_i ^ w_oj)).
struct PlaneLayer {
  unsigned input_planes, weight_planes;
  std::size_t words;                   // 32-bit words per plane; whole words of the kernel
  std::size_t groups;                  // of channels
  const void* weights;                 // [channels / lanes][words][weight_planes][lanes] of the kernel's Word; see PlaneLayout;
                                       // where that is a byte, [groups][weight_planes][bytes][16]
  const std::int32_t* weight_factor;   // [groups][weight_planes][16]
  std::int32_t input_factor[kMaxPlanes];
  const std::int32_t* narrow_factor;   // of two planes by two in pairs, [groups][3][16], or null where they need more bits: for each plane of
                                       // weights both factors of -P as words; then what all weights' factors add up to
  bool bare;                           // one plane each, both factors 1: acc = -popcount, but for the constant of pairs
  bool binary;                         // bare, and its single threshold gives the single plane of the output
  bool pairs;                          // words in pairs: see below
  Epilogue epilogue;
};

// Two words for one popcount, as Winograd's inner product of 1968 has two products for one multiplication. With
// p = x1 ^ w1, q = x2 ^ w2, X = x1 ^ x2 and W = w1 ^ w2, a full adder of X, p and q has the sum bit X ^ p ^ q = W, so
//   p + q = 2 majority(p, X, ~W) + W - X,   bit by bit.
// Of X and W there is one for all channels and one for all pixels: a layer in pairs is given inputs (x1, X) and weights
// (w1, W), and has popcount(W) in its constant or, binary, in its thresholds. With S = sum popcount(X) of an input plane
// and P = sum popcount(majority), what a kernel counts is S - 2 P.
// A binary convolution does not double: twice what it compares is odd or even with S,
//   S - 2 P > T  <=>  floor(S / 2) - P > floor((T - S mod 2) / 2),
// and its thresholds are those for an even S, [groups * 16], then for an odd S.

// The same sums by products of bytes, for many rows:
//   acc = constant[o] + row_factor[o] * row_sum + (sum_n x_n w_on << shift)
// x_n is what the bits of a code of inputs add up to, w_on `weight` without bits and what its bits add, modulo 256.
struct PlaneTileLayer {
  const PlaneLayer* planes;           // the weights, in pairs and blocks of kBlock groups
  std::uint8_t input[kMaxPlanes];
  const std::uint8_t* weight;         // [groups][1 + weight_planes][16]
  int shift;
  Epilogue epilogue;                  // with another constant than that of planes
};

// Behind the last weights of bytes lie so many quads that a kernel reads whole tiles; what they hold counts for nothing.
inline constexpr std::size_t kSpareQuads = 15;

// acc = sum_n x_n w_on, x unsigned and w signed bytes.
struct ByteLayer {
  std::size_t quads;           // ceil(n / 4), padded to an even number
  bool fours_fit;              // the sum of four products always fits 16 bits
  bool small;                  // no input is more than 127
  const std::int8_t* weights;  // [groups][quads][16][4], zero where padded; kSpareQuads more may be read
  Epilogue epilogue;
};

// The same with weights of few levels, w_on = low_o + step_o c_on, in codes c of 2 or 4 bits; low_o is in the row_factor.
struct ByteCodeLayer {
  std::size_t features, groups;
  unsigned bits;
  std::size_t lines;            // of 32 / bits inputs of sixteen channels
  const std::uint8_t* weights;  // [blocks of kBlock groups][lines][groups of the block][16][4]; a byte holds codes of quads that follow
  const std::int32_t* step;     // [groups * 16]
  Epilogue epilogue;
};

// acc = constant[o] + sum_n x_n w_on, words of 16 bits with a sign: whole levels, so that nothing has to be taken off. Input
// words are readable to a multiple of two. Where the sums fit int32 they may wrap on the way, else `chunk` pairs do fit.
struct WordLayer {
  std::size_t pairs;                  // ceil(n / 2)
  std::size_t chunk;                  // 0: sums fit int32; else they are summed in 64 bits, so many pairs at a time
  bool split;                         // chunk 1, and two products together may not fit
  const std::int16_t* weights;        // [groups][pairs][16][2], zero where padded
  const std::int32_t* constant;       // [groups * 16]
  const std::int64_t* wide_constant;  // the same, for sums of 64 bits
  Epilogue epilogue;
};

// Each channel from that channel of the window alone.
struct DepthwiseLayer {
  std::size_t taps;
  const std::int32_t* weights;  // [groups][taps][16], within 16 bits
  // For kernels that sum four taps of a channel at once: [channels / 64][taps / 4][4][16][4], zero where padded. Lane 4 i + j of
  // vector v is channel 16 i + 4 v + j, as bytes of 64 channels that are unpacked lie.
  const std::int8_t* quads;
};

// y = x w^T + bias in float32, summed in the order of n. Depthwise, n are the taps.
struct FloatLayer {
  std::size_t features, channels;
  const float* weights;  // [groups][n][16]
  const float* bias;     // [groups * 16]
};

// y = sum_j factor_oj (sum_n s_jon x_n) + offset_o sum_n x_n + bias_o in float32, s = +-1: weights alone are coded.
// Words lie in chunks that keep the tables of their inputs in the first cache.
inline constexpr std::size_t kChunkWords = 16;

struct WeightOnlyLayer {
  std::size_t features, channels;
  unsigned planes;
  std::size_t words;             // 32-bit words per plane
  const std::uint32_t* weights;  // [chunks][groups][planes][words of the chunk][16], and a word that may be read
  const float* factor;           // [groups][planes][16]
  const float* offset;           // [groups * 16], or null
  const float* bias;             // [groups * 16]
};

// The same where factors double from plane to plane:
//   y = factor_o sum_n (2 c_on - top) x_n + offset_o sum_n x_n + bias_o, codes c up to top = 2^planes - 1.
struct WeightCodeLayer {
  std::size_t features, channels;
  int top;
  bool halves;                  // two codes in a byte, of 4 bits: of a quad of inputs, then of the next
  const std::uint8_t* weights;  // [chunks][groups][pairs of quads of the chunk][2, or 1 of halves][16][4]
  const float* factor;          // [groups * 16]
  const float* offset;          // [groups * 16], or null
  const float* bias;            // [groups * 16]
};

// The same with a factor and an offset for every group of inputs, codes of 2, 4 or 8 bits:
//   y = sum_g (factor_og sum_{n in g} (c_on - middle) x_n + offset_og sum_{n in g} x_n) + bias_o
// Groups lie in pieces of at most 128 inputs, pieces in chunks whose inputs stay in the first cache. Of a byte of codes the lowest
// bits are of a first quad of inputs, the next of the quad behind it.
inline constexpr std::size_t kPieceInputs = 128, kChunkPieces = 16;

struct Piece {
  std::uint32_t first, count;  // inputs
  std::uint32_t vector;        // how many vectors of codes, of 16 channels times four bytes, a group of channels has before it
};

struct WeightGroupLayer {
  std::size_t features, channels;
  unsigned width;               // bits of a code
  int middle;
  const Piece* pieces;          // and one behind the last
  std::size_t piece_count;
  const std::uint8_t* weights;  // [chunks][groups][vectors of the chunk][16][4]
  const float* factor;          // [chunks][groups][pieces of the chunk][16]
  const float* offset;          // likewise, or null
  const float* bias;            // [groups * 16]
};

// A convolution is the same product with the inputs of a window: for each output pixel, some runs of the input map.
// Maps lie pixel by pixel, channels innermost, so a row of the kernel is one run. Units are 32-bit words of
// planes, quads of bytes, or floats.
struct Run {
  std::uint32_t x;       // bytes from the window's first tap
  std::uint32_t weight;  // units into a channel's weights, which lie tap by tap
  std::uint32_t length;  // units
};

// One unit of a run, for kernels whose runs are too short for a loop of their own.
struct Unit {
  std::uint32_t x;       // bytes from the window's first tap
  std::uint32_t weight;  // units
};

// Bytes from the start of a sample to the window's first tap, and to the output pixel.
struct Pixel {
  std::uint32_t x, y;
};

// Output pixels whose windows hold the same taps: taps outside the map are skipped, so borders are regions of their own.
struct Region {
  const Run* runs;
  std::size_t run_count;
  const Unit* units;  // of all runs; null where runs are long
  std::size_t unit_count;
  const Pixel* pixels;
  std::size_t pixel_count;
  std::size_t first_sum;  // of its pixels' sums
  Epilogue epilogue;      // instead of the layer's
};

// A strip is four output pixels that follow each other, or what is left of a map. Its pixels stay in registers together,
// borders included: every word of the window goes to those pixels of the strip whose window holds it.
inline constexpr std::size_t kStrip = 4;

// Pixels of a strip that read a word at once, bit r for pixel r: all, those up to an end, or one. Any others do so in several reads.
inline constexpr std::uint8_t kReaders[] = {15, 14, 7, 12, 3, 8, 4, 2, 1};

// Words, or pairs of words, that the same pixels of a strip read.
struct Reads {
  unsigned pixels;    // one of kReaders
  const Unit* units;  // x from the window's first tap, inside the map or not
  std::size_t unit_count;
};

// Strips that read alike.
struct Strips {
  const Reads* reads;
  std::size_t read_count;
  std::size_t pixel_count, y_pixel;
  std::ptrdiff_t x[kStrip];  // bytes from the window of the first pixel to that of each
  const std::int32_t* thresholds[kStrip];
  const std::ptrdiff_t* starts;  // of each strip: bytes from the start of a sample to the first pixel's window
  const std::uint32_t* y;        // and to the output pixel
  std::size_t count;
};

struct Window {
  const Region* regions;
  std::size_t region_count;
  std::size_t sum_count;       // sums of a sample: one for each output pixel
  const std::uint32_t* shift;  // [groups]: bytes to the first input channel that a group of channels reads; or null
  const Strips* strips;        // instead of regions, for binary layers
  std::size_t strips_count;
};

// The part of a convolution that one thread does: groups of channels, and the n-th of `parts` shares of each region.
struct Part {
  Groups groups;
  std::size_t part, parts;
};

// rank = #{x > threshold} -> code in planes, or byte.
struct Encoder {
  Output output;  // planes or bytes
  std::size_t features;
  unsigned bits;
  bool rank_is_code;
  float thresholds[kMaxLevels];  // 2^bits - 1 of them, rising; then infinity
  std::uint8_t table[kMaxLevels];
  // rank = clip(ceil(x * rate - first), 0, 2^bits - 1) in float64. On a grid this is at most one off; where it is exact,
  // it is right for every float32.
  bool grid, exact;
  double first, rate;
  // If it is not 0: rank = clip(rint(x / divisor) + offset, 0, 2^bits - 1) in float32, half to even, is right for every float32.
  float divisor, offset;
};

// byte = clip(rint(x / scale) + zero, 0, top), in float64, half to even; NaN gives 0.
struct AffineEncoder {
  std::size_t features;
  double scale, zero, top;
  double rate;  // if it is not 0: x * rate rounds as x / scale does, where it matters
};

// clip(round(x / step), low, high) - base as bytes or words; NaN gives `low`. See Rule.
struct Rounder {
  std::size_t features;
  Rule rule;
  Form form;
  double step;
  std::int32_t low, high, base;
  bool exact;  // the step is a power of two whose inverse is a float32, and rounding half to even is not asked for
};

// y = clip(((a + b + half) >> right) << left, low, high) of words.
struct WordAdder {
  std::int32_t right, left, half;
  std::int32_t low, high;
};

// clip(floor((factor * sum + half) / divisor), low, high) of the sum of some words. Where that fits 31 bits, and is not wide,
//   floor(n / divisor) = (n * magic >> shift)   for 0 <= n < 2^31,
// and the numerator is raised by `less` divisors so that it is not negative.
struct WordMean {
  bool wide;
  std::int64_t factor, half, divisor;
  std::uint32_t magic;
  unsigned shift;
  std::int32_t raise, less;  // raise: half + less * divisor
  std::int32_t low, high;
};

// table[#{x > thresholds}] of words, in any form. More thresholds are looked up.
inline constexpr std::size_t kMaxSteps = 15;

struct WordRanker {
  Form form;
  std::size_t features;
  unsigned bits;  // planes: how many
  std::size_t steps;
  std::int16_t thresholds[kMaxSteps + 1];
  std::uint16_t table[kMaxSteps + 1];
};

// clip(floor(rate x + first), low, high) of words, as bytes, in float32: product and sum rounded one by one.
struct WordLine {
  float rate, first;
  float low, high;
};

// Whether any of the floats is NaN. Exactly `count` are read.
using holds_nan_kernel = bool(const float* x, std::size_t count);
// These return whether a value was NaN.
using encode_kernel = bool(const Encoder&, const Rows&);
using encode_affine_kernel = bool(const AffineEncoder&, const Rows&);
using round_words_kernel = bool(const Rounder&, const Rows&);
// Exactly `count` words are read and written.
using add_words_kernel = void(const WordAdder&, const std::int16_t* a, const std::int16_t* b, std::int16_t* y, std::size_t count);
// The means of `channels` words that lie `pixel` words apart, at x and at each of the taps from there on.
using average_words_kernel = void(const WordMean&, const std::int16_t* x, const std::uint32_t* taps, std::size_t tap_count,
                                  std::size_t pixel, std::size_t channels, std::int16_t* y);
using line_words_kernel = void(const WordLine&, const std::int16_t* x, std::uint8_t* y, std::size_t count);
// Planes get whole pieces of 32 bits, zero behind the last feature.
using rank_words_kernel = void(const WordRanker&, const Rows&);
// y[n] = table[x[n]], a table of 256. Exactly `count` bytes are read and written.
using look_up_kernel = void(const std::uint8_t* table, const std::uint8_t* x, std::uint8_t* y, std::size_t count);
// y[n] = a[n] op b[n], or with b[0] alone where it is one number; exactly `count` floats are read and written.
using arithmetic_kernel = void(Arithmetic, const float* a, const float* b, bool one, float* y, std::size_t count);
// y[n] = function(x[n]), within 0.51 units in the last place; exactly `count` floats are read and written, and y may be x.
using apply_function_kernel = void(Function, const float* x, float* y, std::size_t count);
// y[i], i < inner, from x[n * inner + i], n < axis. In one order of additions at every level.
using reduce_kernel = void(Reduction, const float* x, std::size_t axis, std::size_t inner, float* y);
// y[n * inner + i] = e^(x[n * inner + i] - max) / sum, over n < axis, or its logarithm.
using softmax_kernel = void(bool logarithm, const float* x, std::size_t axis, std::size_t inner, float* y);
// y[n] = low where x[n] < low, high where x[n] > high, else x[n], NaN included.
using clip_kernel = void(float low, float high, const float* x, float* y, std::size_t count);
using plane_fully_connected_kernel = void(const PlaneLayer&, const Rows&, Groups);
using byte_fully_connected_kernel = void(const ByteLayer&, const Rows&, Groups);
using tile_fully_connected_kernel = byte_fully_connected_kernel;
// Rows of planes to bytes, `stride` apart; of many rows of these the layer.
using tile_inputs_kernel = void(const PlaneTileLayer&, const Rows& planes, std::byte* to, std::size_t stride);
using tile_planes_kernel = void(const PlaneTileLayer&, const Rows& bytes, Groups);
using byte_code_fully_connected_kernel = void(const ByteCodeLayer&, const Rows&, Groups);
using word_fully_connected_kernel = void(const WordLayer&, const Rows&, Groups);
using float_fully_connected_kernel = void(const FloatLayer&, const Rows&, Groups);
using weight_group_fully_connected_kernel = void(const WeightGroupLayer&, const Rows&, Groups);
using weight_only_fully_connected_kernel = void(const WeightOnlyLayer&, const Rows&, Groups);
using weight_code_fully_connected_kernel = void(const WeightCodeLayer&, const Rows&, Groups);
using plane_convolution_kernel = void(const PlaneLayer&, const Window&, const Rows&, const Part&);
using byte_convolution_kernel = void(const ByteLayer&, const Window&, const Rows&, const Part&);
using tile_convolution_kernel = byte_convolution_kernel;
using byte_depthwise_kernel = void(const DepthwiseLayer&, const Window&, const Rows&, const Part&);
using word_convolution_kernel = void(const WordLayer&, const Window&, const Rows&, const Part&);
using float_convolution_kernel = void(const FloatLayer&, const Window&, const Rows&, const Part&);
using float_depthwise_kernel = void(const FloatLayer&, const Window&, const Rows&, const Part&);
// Repeats the innermost step of a unit in registers alone; returns the multiply-adds done, none where this machine lacks it.
using peak_kernel = std::uint64_t(std::uint64_t repeats);
// Reads `bytes`, a multiple of 1024, from a cache line on.
using read_kernel = void(const std::byte* at, std::size_t bytes);

#define LOWBIT_KERNEL(operation, level) \
  namespace level {                     \
  operation##_kernel operation;         \
  }
#define LOWBIT_PEAK(unit, level) \
  namespace level {              \
  peak_kernel unit##_peak;       \
  }
#define LOWBIT_READER(level) \
  namespace level {          \
  read_kernel read_all;      \
  }
#include "../kernels/kernels.inc"

// What other levels leave to plain code: functions that hardly a network has.
namespace portable {
apply_function_kernel apply_rare_function;
}

}  // namespace lowbit
