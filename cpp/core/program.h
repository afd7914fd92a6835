// A program: values with their places in one arena, and the steps that fill them in order.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <span>
#include <vector>

#include "dispatch.h"
#include "following.h"
#include "memory.h"
#include "pool.h"

namespace lowbit {

// Samples run in blocks of up to this many rows, so that the arena has a fixed size whatever the batch.
inline constexpr std::size_t kBlockRows = 64;
// Blocks of large maps have fewer rows: about what the second cache holds.
inline constexpr std::size_t kBlockBytes = std::size_t{1} << 20;
// A call of less work stays on its thread and keeps Python's lock: to wake a worker that sleeps costs as much.
inline constexpr double kWorthSharing = 20'000;  // nanoseconds
// A step of less work is not shared: to hand a part to a worker that spins, and to hear that it is done, takes about a fifth of it
// (`lowbit bench --machine` measures that).
inline constexpr double kWorthHanding = 2'000;

// Of one value. Far below where products of lengths could wrap.
inline constexpr std::size_t kMaxFeatures = std::size_t{1} << 24;

enum class Kind : std::uint8_t { real, planes, bytes, words };

// The place of a value is in the arena, and not the caller's.
inline constexpr std::size_t kArena = ~std::size_t{0};

// What passes between steps. A row of planes is `bits` planes of whole 64-bit words; bits after the last
// feature are zero. A row of bytes is padded to 16, with anything; one of 16-bit words with at least one more of them.
// A map lies pixel by pixel, channels innermost; its pixels are padded to four bytes (planes: with zero bits).
struct Value {
  Kind kind;
  std::size_t features;
  unsigned bits;           // planes: how many
  std::size_t row, plane;  // bytes from row to row, from plane to plane
  std::size_t offset;      // in the arena
  std::size_t height = 1, width = 1;
  std::size_t pixel = 0;  // bytes from pixel to pixel; not used where there is one
  unsigned top = 0;       // bytes: none is larger; words: the least and the largest level, see word_range
  std::size_t port = kArena;  // of the caller's arrays, the inputs and then the outputs: which one it is

  std::size_t pixels() const { return height * width; }
  std::size_t channels() const { return features / pixels(); }
  // What makes another value of this kind: the number of planes, the largest byte, the levels of words, or nothing.
  unsigned range() const { return kind == Kind::bytes || kind == Kind::words ? top : bits; }
  // Of words.
  std::int32_t least() const { return static_cast<std::int16_t>(top >> 16); }
  std::int32_t most() const { return static_cast<std::int16_t>(top & 0xffff); }
  // Whether the elements of a plane follow each other without padding.
  bool dense() const {
    const std::size_t bits_each = kind == Kind::planes ? 1 : kind == Kind::bytes ? 8 : kind == Kind::words ? 16 : 32;
    return pixels() == 1 || channels() * bits_each == 8 * pixel;
  }
};

Value real_value(std::size_t features);
Value bytes_value(std::size_t features, unsigned top);
Value planes_value(std::size_t features, unsigned bits);
Value words_value(std::size_t features, unsigned range);
// The range of words from `least` to `most`.
constexpr unsigned word_range(std::int32_t least, std::int32_t most) {
  return static_cast<unsigned>(static_cast<std::uint16_t>(least)) << 16 | static_cast<std::uint16_t>(most);
}
// The same as a map; `range` as above. Throws where it has more than kMaxFeatures elements.
Value map_value(Kind kind, unsigned range, std::size_t channels, std::size_t height, std::size_t width);

struct Place {
  std::byte* at;
  const Value* value;

  float* real(std::size_t row) const { return reinterpret_cast<float*>(at + row * value->row); }
  std::uint8_t* bytes(std::size_t row) const { return reinterpret_cast<std::uint8_t*>(at + row * value->row); }

  std::int16_t* words(std::size_t row) const { return reinterpret_cast<std::int16_t*>(at + row * value->row); }

  // One element of words: the integer level itself.
  std::int16_t word(std::size_t row, std::size_t pixel, std::size_t n) const {
    return words(row)[pixel * value->pixel / sizeof(std::int16_t) + n];
  }

  // The code of one element of planes or bytes.
  unsigned code(std::size_t row, std::size_t n) const { return code(row, 0, n); }

  unsigned code(std::size_t row, std::size_t pixel, std::size_t n) const {
    const std::uint8_t* x = bytes(row) + pixel * value->pixel;
    if (value->kind == Kind::bytes) return x[n];
    unsigned code = 0;
    for (unsigned i = 0; i < value->bits; ++i) {
      code |= ((unsigned{x[i * value->plane + n / 8]} >> (n % 8)) & 1u) << i;
    }
    return code;
  }
};

class Step;

// What a step works on: some rows, and where their values are.
struct Block {
  std::size_t rows;
  const std::vector<Value>* values;
  std::byte* arena;
  std::int32_t* sums;  // scratch of the running step, at least one for each row
  std::byte* const* ports;  // the caller's arrays: samples, which are never written, then results
  Pool* pool;  // null: do not share
  bool* nan = nullptr;  // set by a step that finds NaN among the samples
  const Step** fault = nullptr;  // set to a step that was told to read a place that there is not

  Place place(std::size_t value) const {
    const Value& which = (*values)[value];
    return {which.port == kArena ? arena + which.offset : ports[which.port], &which};
  }
};

class Step {
 public:
  virtual ~Step() = default;
  virtual void run(const Block& block) const = 0;

  // Whether it only changes each number that it reads; adds to `what` what it does to them.
  virtual bool follows(Following& what) const {
    static_cast<void>(what);
    return false;
  }
  // A layer that ends with what follows it, whose result is `last` then; null where it is none, or cannot exactly. It reads what
  // this one holds.
  virtual std::unique_ptr<Step> followed(const Following& next, const Value& last) const {
    static_cast<void>(next), static_cast<void>(last);
    return nullptr;
  }

  const char* name = "";    // the operation
  const char* kernel = "";  // the level of the kernel that runs it
  std::string made, why;    // what the result is called, and why there is this step, where there was a choice
  std::vector<std::uint8_t> code_of_byte;  // of the bytes of the result, where these are not codes themselves
  bool merges_codes = false;               // several codes have one byte, of which it shows one
  std::vector<std::size_t> sources;  // the values it reads
  std::size_t result = 0;   // the value it fills
  std::optional<std::size_t> timed;  // the value of the step that its time is of, where that is another
  std::optional<std::size_t> turn;  // the step that runs in its place, where it is one of a chain
  double cost = 0;          // rough nanoseconds per row, to decide what is worth a thread
  const char* unit = "";    // the peak that bounds its products: popcount, dot, float; or nothing
  double work = 0;          // multiply-adds of that unit per row
  double products = 0;      // of a code and a weight, whatever multiplies them; per row
  double done = 0;          // multiply-adds of that unit with those that padding adds
  std::size_t weight_bytes = 0;  // that every run reads
  std::size_t scratch = 1;  // sums that it needs for each row
  std::size_t fixed_scratch = 0;  // bytes that it needs instead, whatever the rows
  // Others use the place of its planes: the bits after the last feature, which it leaves, must be made zero each time.
  bool clear = false;
  bool by_elements = false;  // it is an ElementStep, which chains take
  bool once = false;       // its result is the same in every run: made at load, and kept
  bool finds_nan = false;  // where it reads samples: for the price of a compare that needs no load
};

// Gives every value without a port its place in a lane of the arena, behind `first` bytes; returns where the lane ends. A value has its bytes from the step that fills it to the last one that reads it; then they are another's.
[[gnu::cold]] std::size_t place_values(std::vector<Value>& values, const std::vector<std::unique_ptr<Step>>& steps, std::size_t rows,
                         std::size_t first);

class Program final {
 public:
  // The first values are the inputs, and no step makes them. Throws TooLarge where constants and arena together exceed
  // `allowed` bytes.
  [[gnu::cold]] Program(Kernel<holds_nan_kernel> holds_nan, std::vector<Value> values, std::vector<std::unique_ptr<Step>> steps,
          std::vector<std::size_t> outputs, std::size_t threads, bool pinned, std::size_t constant_bytes, std::size_t allowed);

  std::size_t inputs() const { return inputs_; }
  std::size_t outputs() const { return outputs_.size(); }
  const Value& input(std::size_t n = 0) const { return values_[n]; }
  const Value& output(std::size_t n = 0) const { return values_[outputs_[n]]; }
  const std::vector<Value>& values() const { return values_; }
  // As planned; a trace runs them one by one.
  const std::vector<std::unique_ptr<Step>>& steps() const { return steps_; }
  // What runs instead: a chain stands for all its steps, in the place of the last one.
  const std::vector<const Step*>& turns() const { return turns_; }
  // Whether a trace cannot tell some codes apart, as it could where they lie in planes.
  bool merges_codes() const;
  std::size_t threads() const { return pool_.threads(); }
  std::size_t arena_bytes() const { return arena_.size(); }
  // The largest sum of bytes of values that are alive at once, of one row; inputs and outputs are the caller's.
  std::size_t alive_bytes() const;
  std::size_t constant_bytes() const { return constant_bytes_; }
  std::size_t block_rows() const { return block_rows_; }
  double cost(std::size_t rows) const { return static_cast<double>(rows) * row_cost_; }

  // ports: the inputs, float32 [rows, features], then the outputs. The caller holds the lock. Throws where a sample holds NaN,
  // if there is a kernel that finds it: a threshold would turn it into a code like any other, and a sum into a confident
  // answer. The outputs are then half written.
  void run(std::span<std::byte* const> ports, std::size_t rows);

  // Throws, where a step was told to read a place that there is not.
  static void check_places(const Step* fault);

  // Throws likewise.
  void check_samples(std::span<std::byte* const> ports, std::size_t rows) const;

  // Up to block_rows() rows of samples and results, from row `first` on. Good until the lane's next block, or as long as `ports`.
  Block block(std::span<std::byte* const> ports, std::size_t first, std::size_t rows, std::size_t lane, Pool* pool);

  // Runs one step; what it reads must still be there: steps run in order.
  void run_step(const Step& step, const Block& block) const;

  // Held by whoever runs. Try it first: waiting while holding Python's lock would stop everybody.
  ForkMutex& lock() { return lock_; }

 private:
  // Sets what blocks and lanes are; returns the bytes of all lanes.
  [[gnu::cold]] std::size_t plan_arena(std::size_t threads, std::size_t allowed);

  bool holds_nan(std::size_t input, const std::byte* x, std::size_t rows) const {
    return holds_nan_.run != nullptr && holds_nan_.run(reinterpret_cast<const float*>(x), rows * values_[input].features);
  }

  Kernel<holds_nan_kernel> holds_nan_;
  bool look_for_nan_ = false;  // before the steps, as not all that read samples find it
  std::vector<Value> values_;
  std::vector<std::unique_ptr<Step>> steps_, chains_;
  std::vector<const Step*> turns_;
  std::size_t inputs_;
  std::vector<std::size_t> outputs_, port_rows_;  // of ports: bytes from row to row
  std::vector<std::byte*> ports_;  // of every lane's block
  std::size_t constant_bytes_;
  std::size_t block_rows_ = 1, lane_bytes_ = 0;
  double row_cost_ = 0;
  Bytes arena_;  // one lane per thread
  Pool pool_;
  ForkMutex lock_;
};

}  // namespace lowbit
