// Steps that touch each element once, for values in 16-bit words, and between them and bytes.
#pragma once

#include <memory>
#include <span>

#include "dispatch.h"
#include "layer_ending.h"
#include "program.h"

namespace lowbit {

// What floats are rounded to: a Rule that rounds, in bytes or words. See Rounder.
struct RounderSpec {
  Rule rule;
  Form form;
  double step;
  std::int32_t low, high, base;
};

std::unique_ptr<Step> round_floats(const KernelSet& kernels, std::size_t x, const Value& input, const Value& output,
                                   const RounderSpec& spec);

// Floats -> table[#{x > threshold}], any number of thresholds; words.
std::unique_ptr<Step> rank_floats(std::size_t x, const Value& input, std::span<const float> thresholds,
                                  std::span<const std::int16_t> table);

// Words -> float32: table[x - least].
std::unique_ptr<Step> decode_words(std::size_t x, const Value& input, std::int32_t least, std::span<const float> table);

// clip(floor((x + y) 2^-shift [+ 1/2]), low, high) of two values in words of one shape; see Rule.
std::unique_ptr<Step> add_words(const KernelSet& kernels, std::size_t x, std::size_t y, const Value& input, const Value& other, const EndingSpec& spec);

}  // namespace lowbit
