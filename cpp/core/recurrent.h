// Recurrent layers: their weights are laid out as float layers have them, whose kernels multiply.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "dispatch.h"
#include "matrix.h"
#include "program.h"

namespace lowbit {

enum class Cell : std::uint8_t { rnn, gru, lstm };
inline constexpr char kCells[] = "rnn | gru | lstm";
enum class Direction : std::uint8_t { forward, reverse, bidirectional };
inline constexpr char kDirections[] = "forward | reverse | bidirectional";

// A recurrent layer over a whole sequence, as ONNX defines it.
struct RecurrentSpec {
  Cell cell;
  Direction direction;
  std::size_t length, batch;        // x is [length, batch, inputs]
  Matrix<float> weights, recurrent;  // [directions * gates * hidden, inputs], [directions * gates * hidden, hidden]
  std::span<const float> bias;       // [directions * 2 * gates * hidden], or none
  std::span<const float> peepholes;  // [directions * 3 * hidden], or none
  Function gate, candidate, output;  // f, g, h
  float bound;                       // of what goes into them; 0: none
  bool coupled;                      // an LSTM's forget gate is what the input gate leaves
  bool reset_after;                  // a GRU resets what its weights have made of the state
  bool has_lengths, has_state, has_cell;  // values read behind x: lengths [batch], states [directions, batch, hidden]

  std::size_t directions() const { return direction == Direction::bidirectional ? 2 : 1; }
  std::size_t gates() const { return cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1; }
  std::size_t hidden() const { return recurrent.columns; }
  std::size_t states() const { return directions() * batch * hidden(); }
  // [length, directions, batch, hidden], then the last states, then an LSTM's last cells.
  std::size_t features() const { return states() * (length + (cell == Cell::lstm ? 2 : 1)); }
};

std::unique_ptr<Step> recurrent(const KernelSet& kernels, const std::vector<std::size_t>& x, const std::vector<Value>& inputs,
                                const RecurrentSpec& spec);

}  // namespace lowbit
