// Layers of 16-bit words: whole levels of any two encodings, multiplied and summed exactly. Sums that might leave int32, by
// the weights and the levels at hand, are made in 64 bits.
#pragma once

#include <memory>
#include <span>

#include "dispatch.h"
#include "fields.h"
#include "finish.h"
#include "program.h"
#include "window.h"

namespace lowbit {

struct WordWeights {
  Matrix<std::int16_t> weights;            // [channels, n]
  std::span<const std::int64_t> constant;  // [channels]: the sums start with it
  LOWBIT_FIELDS(WordWeights, weights, constant)
};

// `rows` of a sample lie one after another, each of them features / rows long, and so do the results.
std::unique_ptr<Step> word_fully_connected(const KernelSet& kernels, std::size_t x, const Value& input, const Value& output,
                                           std::size_t rows, const WordWeights& weights, const EpilogueSpec& epilogue);

// As the other convolutions: see convolution.h.
std::unique_ptr<Step> word_convolution(const KernelSet& kernels, std::size_t x, const Value& input, const Value& output,
                                       const WindowSpec& window, const WordWeights& weights, const EpilogueSpec& epilogue);

}  // namespace lowbit
