// Steps on single floats, and chains of them that run as one step, through blocks that the first cache holds.
//
// What several operators in a row compute costs one pass over memory that way, as one operator does; the operations and
// their order stay, so the floats are the same. Chains are found when a program is loaded: a plan says what is computed,
// and a trace can still run step by step.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "dispatch.h"
#include "program.h"

namespace lowbit {

inline constexpr char kFunctions[] =
    "identity | tanh | sigmoid | elu | exponential | logarithm | absolute | square_root | reciprocal | error | sine | "
    "cosine | floor | ceiling | truncate | round | negative | sign | is_true | is_false | is_nan | relu | tangent | "
    "arc_sine | arc_cosine | arc_tangent | hyperbolic_sine | hyperbolic_cosine | inverse_hyperbolic_sine | "
    "inverse_hyperbolic_cosine | inverse_hyperbolic_tangent";
inline constexpr char kArithmetic[] =
    "add | subtract | multiply | divide | subtract_from | divide_into | minimum | maximum | power | modulo | remainder | "
    "quotient | less | less_or_equal | greater | greater_or_equal | equal | both | either | one_alone";

std::unique_ptr<Step> activate(const KernelSet& kernels, std::size_t x, const Value& input, Function function);

// NaN stays NaN.
std::unique_ptr<Step> clip(const KernelSet& kernels, std::size_t x, const Value& input, float low, float high);

// Row by row; the second operand, a value or a constant row, has as many elements or is repeated a whole number of times.
std::unique_ptr<Step> combine(const KernelSet& kernels, std::size_t x, std::size_t y, const Value& input,
                              const Value& other, Arithmetic operation);
std::unique_ptr<Step> combine_constant(const KernelSet& kernels, std::size_t x, const Value& input,
                                       std::span<const float> row, Arithmetic operation);

// Finds the chains: steps of this file whose result, but that of the last, is read by others of the chain alone. They get
// the turn of the last one, in which the returned step runs instead of it; where there is none, no entry.
std::vector<std::unique_ptr<Step>> join_chains(const std::vector<std::unique_ptr<Step>>& steps, const std::vector<Value>& values);

}  // namespace lowbit
