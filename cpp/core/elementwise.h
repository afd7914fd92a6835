// Steps that touch each element once: encoding, tables, moves.
#pragma once

#include <array>
#include <memory>
#include <span>

#include "dispatch.h"
#include "program.h"

namespace lowbit {

// Floats -> planes or bytes of the same shape.
std::unique_ptr<Step> encode(const KernelSet& kernels, std::size_t x, const Value& input, const Value& output,
                             std::span<const float> thresholds, std::span<const std::uint8_t> table);

std::unique_ptr<Step> encode_affine(const KernelSet& kernels, std::size_t x, const Value& input, const Value& output,
                                    double scale, double zero, double top);

// bytes -> bytes
std::unique_ptr<Step> look_up(const KernelSet& kernels, std::size_t x, const Value& input,
                              std::span<const std::uint8_t> table);

// codes in bytes or planes -> float32
std::unique_ptr<Step> decode(std::size_t x, const Value& input, std::span<const float> table);

// The same numbers in every row.
std::unique_ptr<Step> constant(std::span<const float> numbers);

}  // namespace lowbit
