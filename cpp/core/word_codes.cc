#include "word_codes.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "word_rows.h"

namespace lowbit {
namespace {

class EntryStep final : public Step {
 public:
  EntryStep(const KernelSet& kernels, std::size_t x, const Value& input, const Value& output, std::int32_t least,
            std::span<const std::uint16_t> table)
      : kernel_(kernels.line_words), x_(x), least_(least) {
    name = "look_up_entries";
    require_covered(name, input, least, table.size());
    require((output.kind == Kind::words || output.kind == Kind::bytes) && output.features == input.features, name,
            "bytes or words", "another kind of value");
    if (output.kind == Kind::words) {
      words_.assign(table.begin(), table.end());
    } else {
      bytes_.resize(table.size());
      std::transform(table.begin(), table.end(), bytes_.begin(), [](std::uint16_t entry) { return static_cast<std::uint8_t>(entry); });
    }
    if (input.kind == Kind::words && output.kind == Kind::bytes) find_line(input);
    if (on_line_) bytes_.clear(), bytes_.shrink_to_fit();
    kernel = on_line_ ? kernel_.level : "portable";
    cost = static_cast<double>(input.features) / (on_line_ ? 10 : 2);
  }

  void run(const Block& block) const override {
    if (on_line_) {
      return each_row<std::int16_t, std::uint8_t>(block, x_, result, [&](const std::int16_t* x, std::uint8_t* y, std::size_t count) {
        kernel_.run(line_, x, y, count);
      });
    }
    const Kind from = block.place(x_).value->kind, to = block.place(result).value->kind;
    if (from == Kind::words) {
      to == Kind::words ? all<std::int16_t, std::uint16_t>(block, words_) : all<std::int16_t, std::uint8_t>(block, bytes_);
    } else {
      to == Kind::words ? all<std::uint8_t, std::uint16_t>(block, words_) : all<std::uint8_t, std::uint8_t>(block, bytes_);
    }
  }

 private:
  // In the width of addresses, so that the difference is taken once.
  template <class In, class Out>
  void all(const Block& block, const std::vector<Out>& table) const {
    each_row<In, Out>(block, x_, result, [entries = table.data(), least = std::ptrdiff_t{least_}](const In* x, Out* y, std::size_t count) {
      for (std::size_t n = 0; n < count; ++n) y[n] = entries[std::ptrdiff_t{x[n]} - least];
    });
  }

  // Bytes that rise evenly: the line through the middle of what its steps allow, if the kernel itself makes every byte of it.
  void find_line(const Value& input) {
    const std::span<const std::uint8_t> bytes(bytes_.data() + (input.least() - least_), static_cast<std::size_t>(input.most() - input.least() + 1));
    std::vector<double> steps;  // step c: the last word whose byte is at most the first one plus c
    for (std::size_t n = 1; n < bytes.size(); ++n) {
      if (bytes[n] < bytes[n - 1]) return;
      steps.insert(steps.end(), static_cast<std::size_t>(bytes[n] - bytes[n - 1]), static_cast<double>(input.least()) + static_cast<double>(n) - 1);
    }
    if (steps.size() < 2) return;
    double narrowest = 0, widest = HUGE_VAL;
    for (std::size_t c = 1; c < steps.size(); ++c) {
      for (std::size_t b = 0; b < c; ++b) {
        const double apart = static_cast<double>(c - b), between = steps[c] - steps[b];
        narrowest = std::max(narrowest, (between - 1) / apart), widest = std::min(widest, (between + 1) / apart);
      }
    }
    const double width = (narrowest + widest) / 2;
    double low = -HUGE_VAL, high = HUGE_VAL;
    for (std::size_t c = 0; c < steps.size(); ++c) {
      const double at = steps[c] - static_cast<double>(c) * width;
      low = std::max(low, at), high = std::min(high, at + 1);
    }
    const double first = (low + high) / 2;
    line_ = {static_cast<float>(1 / width), static_cast<float>(bytes.front() + 1 - first / width), static_cast<float>(bytes.front()),
             static_cast<float>(bytes.back())};
    std::vector<std::int16_t> words(bytes.size());
    std::iota(words.begin(), words.end(), static_cast<std::int16_t>(input.least()));
    std::vector<std::uint8_t> found(bytes.size());
    kernel_.run(line_, words.data(), found.data(), words.size());
    on_line_ = std::equal(found.begin(), found.end(), bytes.begin());
  }

  Kernel<line_words_kernel> kernel_;
  std::size_t x_;
  std::int32_t least_;
  WordLine line_{};
  bool on_line_ = false;
  std::vector<std::uint16_t> words_;  // the table, in the form of the output; none on a line
  std::vector<std::uint8_t> bytes_;
};

class RankWordsStep final : public Step {
 public:
  RankWordsStep(const KernelSet& kernels, std::size_t x, const Value& input, const Value& output, std::span<const std::int32_t> thresholds,
                std::span<const std::uint16_t> table)
      : kernel_(kernels.rank_words), x_(x) {
    name = "rank_words";
    ranker_.form = output.kind == Kind::planes ? Form::planes : output.kind == Kind::words ? Form::words : Form::bytes;
    ranker_.features = output.dense() && input.dense() ? output.features : output.channels();
    ranker_.bits = output.bits;
    const bool rising = std::is_sorted(thresholds.begin(), thresholds.end());
    require(input.kind == Kind::words && rising && thresholds.size() <= kMaxSteps && table.size() == thresholds.size() + 1, name,
            "words, and up to 15 rising thresholds, one less than entries", thresholds.size());
    require(output.kind != Kind::real && output.features == input.features && output.channels() == input.channels(), name,
            "codes of the same shape", "others");
    // What every word is above, and what none is, may not fit a word itself.
    const auto first = std::lower_bound(thresholds.begin(), thresholds.end(), input.least());
    const auto last = std::lower_bound(first, thresholds.end(), input.most());
    ranker_.steps = static_cast<std::size_t>(last - first);
    std::transform(first, last, ranker_.thresholds, [](std::int32_t t) { return static_cast<std::int16_t>(t); });
    std::copy_n(table.begin() + (first - thresholds.begin()), ranker_.steps + 1, ranker_.table);
    kernel = kernel_.level;
    cost = static_cast<double>(input.features * (thresholds.size() + 1)) / 20;
  }

  void run(const Block& block) const override {
    const Place in = block.place(x_), out = block.place(result);
    if (out.value->dense() && in.value->dense()) {
      return kernel_.run(ranker_, {block.rows, in.at, in.value->row, 0, nullptr, out.at, out.value->row, out.value->plane});
    }
    for (std::size_t row = 0; row < block.rows; ++row) {
      kernel_.run(ranker_, {out.value->pixels(), in.at + row * in.value->row, in.value->pixel, 0, nullptr,
                            out.at + row * out.value->row, out.value->pixel, out.value->plane});
    }
  }

 private:
  Kernel<rank_words_kernel> kernel_;
  std::size_t x_;
  WordRanker ranker_{};
};

}  // namespace

std::unique_ptr<Step> look_up_entries(const KernelSet& kernels, std::size_t x, const Value& input, const Value& output, std::int32_t least,
                                      std::span<const std::uint16_t> table) {
  return std::make_unique<EntryStep>(kernels, x, input, output, least, table);
}

std::unique_ptr<Step> rank_words(const KernelSet& kernels, std::size_t x, const Value& input, const Value& output,
                                 std::span<const std::int32_t> thresholds, std::span<const std::uint16_t> table) {
  return std::make_unique<RankWordsStep>(kernels, x, input, output, thresholds, table);
}

}  // namespace lowbit
