// Puts a program together, value by value. Every size is checked here, so that running can trust them all.
#pragma once

#include <limits>

#include "steps.h"

namespace lowbit {

// Throws where that many threads cannot be used.
void check_threads(std::size_t threads);

class Builder final {
 public:
  // The kernels are those of select_kernels. The first values are the float32 inputs, of so many
  // features each. What would make the program take more than `allowed` bytes is refused with TooLarge before it takes them.
  Builder(const std::vector<std::size_t>& features, const std::string& level, std::size_t allowed = std::numeric_limits<std::size_t>::max(),
          const std::string& path = {});
  Builder(const Builder&) = delete;
  Builder& operator=(const Builder&) = delete;

  // Adds a step that reads these values; returns the number of its result.
  std::size_t add(const Sources& x, const steps::Any& step);

  // The step that was added last.
  Step& last() { return *steps_.back(); }
  // The value of a number.
  const Value& value(std::size_t n) const;

  const Paths& paths() const { return kernels_.paths; }

  // Counts the bytes of constants that the next steps get.
  void take(std::size_t bytes);

  // The program whose results are these values: float32, each made by a step. The builder is empty afterwards.
  // Workers may be kept off the caller's processor.
  std::unique_ptr<Program> finish(const std::vector<std::size_t>& outputs, std::size_t threads, bool pinned = false);

 private:
  struct Adder;
  friend Adder;

  std::size_t put(Sources sources, Value result, std::unique_ptr<Step> step);

  KernelSet kernels_;
  std::vector<Value> values_;
  std::vector<std::unique_ptr<Step>> steps_;
  std::size_t allowed_, taken_ = 0;
};

}  // namespace lowbit
