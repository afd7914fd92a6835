#include "trace.h"

#include <algorithm>
#include <cstring>
#include <mutex>

namespace lowbit {
namespace {

// Codes in planes or bytes -> one byte each, words and floats as they are; maps in the order [channel][height][width].
void unpack(const Place& from, const std::vector<std::uint8_t>& codes, std::size_t rows, std::byte* to) {
  const Value& value = *from.value;
  const std::size_t pixels = value.pixels(), channels = value.channels();
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t c = 0; c < channels; ++c) {
      for (std::size_t p = 0; p < pixels; ++p) {
        if (value.kind == Kind::real) {
          std::memcpy(to, from.real(row) + p * channels + c, sizeof(float));
          to += sizeof(float);
        } else if (value.kind == Kind::words) {
          const std::int16_t word = from.word(row, p, c);
          std::memcpy(to, &word, sizeof word);
          to += sizeof word;
        } else {
          const unsigned code = from.code(row, p, c);
          *to++ = static_cast<std::byte>(codes.empty() ? code : codes[code]);
        }
      }
    }
  }
}

}  // namespace

std::size_t traced_bytes(const Value& value) { return value.kind == Kind::real ? 4 : value.kind == Kind::words ? 2 : 1; }

void trace(Program& program, std::span<std::byte* const> ports, std::size_t rows, std::vector<std::byte*> at) {
  program.check_samples(ports, rows);
  const std::lock_guard guard(program.lock());
  const std::size_t most = program.block_rows();
  for (std::size_t first = 0; first < rows; first += most) {
    const std::size_t count = std::min(most, rows - first);
    Block block = program.block(ports, first, count, 0, nullptr);
    const Step* fault = nullptr;
    block.fault = &fault;
    for (std::size_t n = 0; n < at.size(); ++n) {
      const Step& step = *program.steps()[n];
      program.run_step(step, block);
      Program::check_places(fault);
      const Place place = block.place(step.result);
      unpack(place, step.code_of_byte, count, at[n]);
      at[n] += count * traced_bytes(*place.value) * place.value->features;
    }
  }
}

}  // namespace lowbit
