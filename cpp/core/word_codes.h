// Steps that make other codes of single words, or of bytes.
#pragma once

#include <memory>
#include <span>

#include "dispatch.h"
#include "program.h"

namespace lowbit {

// Bytes or words -> bytes or words: table[x - least], as bytes or words. `output` says which. Words that become
// bytes evenly are multiplied instead.
std::unique_ptr<Step> look_up_entries(const KernelSet& kernels, std::size_t x, const Value& input, const Value& output, std::int32_t least,
                                      std::span<const std::uint16_t> table);

// Words -> table[#{x > thresholds}] in the form of `output`; up to kMaxSteps rising thresholds, none of which needs to fit a word.
std::unique_ptr<Step> rank_words(const KernelSet& kernels, std::size_t x, const Value& input, const Value& output,
                                 std::span<const std::int32_t> thresholds, std::span<const std::uint16_t> table);

}  // namespace lowbit
