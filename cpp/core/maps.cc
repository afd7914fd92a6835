#include "maps.h"

#include <algorithm>
#include <cstring>

#include "error.h"
#include "share.h"
#include "transpose.h"

namespace lowbit {
namespace {

// Visits every channel of every pixel, in squares of a few channels and pixels: whole cache lines on either side, even
// where rows lie a power of two apart and share their place in the cache.
template <class Visit>
void each_block(const Value& map, const Visit& visit) {
  const std::size_t channels = map.channels(), pixels = map.pixels();
  for (std::size_t first = 0; first < channels; first += kGroup) {
    const std::size_t end = std::min(first + kGroup, channels);
    for (std::size_t start = 0; start < pixels; start += kGroup) {
      const std::size_t stop = std::min(start + kGroup, pixels);
      for (std::size_t c = first; c < end; ++c) {
        for (std::size_t p = start; p < stop; ++p) visit(c, p);
      }
    }
  }
}

class ArrangeStep final : public Step {
 public:
  [[gnu::cold]] ArrangeStep(std::size_t x, const Value& input, const Value& output) : x_(x) {
    require(input.pixel == 0 && input.kind == output.kind && input.kind != Kind::planes, name = "arrange",
            "floats, bytes or words that are no map", "others");
    require(input.features == output.features && output.pixel != 0, name, {"a map of ", input.features},
            output.features);
    kernel = "portable";
    cost = static_cast<double>(input.features) / 4;
  }

  void run(const Block& block) const override {
    const Place in = block.place(x_), out = block.place(result);
    for (std::size_t row = 0; row < block.rows; ++row) {
      const std::size_t channels = out.value->channels(), pixels = out.value->pixels();
      if (out.value->kind == Kind::real) {
        transpose(in.real(row), channels, pixels, pixels, out.real(row), channels);
      } else if (out.value->kind == Kind::words) {
        transpose(in.words(row), channels, pixels, pixels, out.words(row), out.value->pixel / sizeof(std::int16_t));
      } else if (out.value->pixel == 4) {
        interleave_quads(in.bytes(row), out.bytes(row), *out.value);
      } else {
        transpose<std::uint8_t>(in.bytes(row), channels, pixels, pixels, out.bytes(row), out.value->pixel);
      }
    }
  }

 private:
  // Images have up to four channels: a pixel is one word.
  static void interleave_quads(const std::uint8_t* x, std::uint8_t* y, const Value& map) {
    const std::size_t channels = map.channels(), count = map.pixels();
    const std::uint8_t* x1 = x + (channels > 1 ? count : 0);
    const std::uint8_t* x2 = x + (channels > 2 ? 2 * count : 0);
    const std::uint8_t* x3 = x + (channels > 3 ? 3 * count : 0);
    for (std::size_t p = 0; p < count; ++p) {
      const auto quad = static_cast<std::uint32_t>(x[p] | x1[p] << 8 | x2[p] << 16) | std::uint32_t{x3[p]} << 24;
      std::memcpy(y + 4 * p, &quad, sizeof quad);
    }
  }

  std::size_t x_;
};

class FlattenStep final : public Step {
 public:
  [[gnu::cold]] FlattenStep(std::size_t x, const Value& input) : x_(x) {
    require(input.pixel != 0, name = "flatten", "a map", "a value without height and width");
    kernel = "portable";
    cost = static_cast<double>(input.features);
  }

  void run(const Block& block) const override {
    const Place in = block.place(x_), out = block.place(result);
    const Value& map = *in.value;
    const std::size_t channels = map.channels(), pixels = map.pixels();
    for (std::size_t row = 0; row < block.rows; ++row) {
      if (map.kind == Kind::real) {
        transpose(in.real(row), pixels, channels, channels, out.real(row), pixels);
      } else if (map.kind == Kind::bytes) {
        transpose<std::uint8_t>(in.bytes(row), pixels, channels, map.pixel, out.bytes(row), pixels);
      } else if (map.kind == Kind::words) {
        transpose<std::int16_t>(in.words(row), pixels, channels, map.pixel / sizeof(std::int16_t), out.words(row), pixels);
      } else {
        planes(in, out, row);
      }
    }
  }

 private:
  static void planes(const Place& in, const Place& out, std::size_t row) {
    const std::size_t pixels = in.value->pixels();
    std::memset(out.bytes(row), 0, out.value->row);
    each_block(*in.value, [&](std::size_t c, std::size_t p) {
      const std::size_t n = c * pixels + p;
      for (unsigned i = 0, code = in.code(row, p, c); i < in.value->bits; ++i) {
        std::uint8_t& byte = out.bytes(row)[i * out.value->plane + n / 8];
        byte = static_cast<std::uint8_t>(byte | ((code >> i) & 1u) << (n % 8));
      }
    });
  }

  std::size_t x_;
};

class MaxPoolStep final : public Step {
 public:
  [[gnu::cold]] MaxPoolStep(std::size_t x, const Value& input, const Value& output, const WindowSpec& window,
              std::span<const std::uint8_t> ranks)
      : x_(x), plan_(name = "max_pool", input, window), ranks_(ranks.begin(), ranks.end()) {
    require(output.kind == input.kind && output.range() == input.range() && output.channels() == input.channels() &&
                output.height == plan_.height() && output.width == plan_.width(),
            name, {"a map of ", plan_.height(), " x ", plan_.width()}, "others");
    for (std::size_t r = 0; r < plan_.region_count(); ++r) {
      require(plan_.taps(r) > 0, name, "windows that see the map", "one that sees padding alone");
    }
    if (input.kind == Kind::planes) {
      require(ranks_.size() == std::size_t{1} << input.bits, name, "a rank for every code", ranks_.size());
      for (std::size_t n = 0; n < ranks_.size(); ++n) in_order_ &= ranks_[n] == n;
    }
    kernel = "portable";
    cost = static_cast<double>(output.pixels() * plan_.taps() * input.row / input.pixels()) / 16;
  }

  void run(const Block& block) const override {
    const Place in = block.place(x_), out = block.place(result);
    share_outputs(block, cost, [&](std::size_t part, std::size_t parts) {
      for (std::size_t row = 0; row < block.rows; ++row) pool(in, out, row, part, parts);
    });
  }

 private:
  using Taps = std::vector<std::uint32_t>;

  void pool(const Place& in, const Place& out, std::size_t row, std::size_t part, std::size_t parts) const {
    const Value& map = *in.value;
    const auto each = [&](auto visit) {
      for (std::size_t r = 0; r < plan_.region_count(); ++r) plan_.each_pixel(r, part, parts, visit);
    };
    if (map.kind == Kind::real) {
      each([&](const Taps& taps, std::size_t first, std::size_t at) {
        real(in.real(row) + first * map.channels(), taps, map.channels(), out.real(row) + at * map.channels());
      });
    } else if (map.kind == Kind::bytes) {
      each([&](const Taps& taps, std::size_t first, std::size_t at) {
        largest(in.bytes(row) + first * map.pixel, taps, map.pixel, out.bytes(row) + at * map.pixel);
      });
    } else if (map.kind == Kind::words) {
      const std::size_t pixel = map.pixel / sizeof(std::int16_t);
      each([&](const Taps& taps, std::size_t first, std::size_t at) {
        largest(in.words(row) + first * pixel, taps, pixel, out.words(row) + at * pixel);
      });
    } else if (map.bits == 1 && in_order_ && map.pixel % 8 == 0) {
      each([&](const Taps& taps, std::size_t first, std::size_t at) {
        bits<std::uint64_t>(in.bytes(row) + first * map.pixel, taps, map.pixel, out.bytes(row) + at * map.pixel);
      });
    } else if (in_order_) {
      each([&](const Taps& taps, std::size_t first, std::size_t at) { planes(in, out, row, taps, first, at); });
    } else {
      each([&](const Taps& taps, std::size_t first, std::size_t at) { codes(in, out, row, taps, first, at); });
    }
  }

  // The last of what is not less; a NaN is the largest of all.
  static void real(const float* x, const Taps& taps, std::size_t channels, float* y) {
    pooled(x, taps, channels, y, [](auto most, auto other) { return ((other <= most) | (most != most)) ? most : other; });
  }

  // Bytes and words rise with their levels; what pads a pixel goes along.
  template <class Element>
  static void largest(const Element* x, const Taps& taps, std::size_t pixel, Element* y) {
    pooled(x, taps, pixel, y, [](auto most, auto other) { return other > most ? other : most; });
  }

  // A vector of channels at a time, the last of which may hold some for a second time.
  template <class Element, class Choose>
  static void pooled(const Element* x, const Taps& taps, std::size_t channels, Element* y, const Choose& choose) {
    constexpr std::size_t kLanes = 16 / sizeof(Element);
    typedef Element Vector __attribute__((vector_size(16)));
    if (channels < kLanes) {
      for (std::size_t c = 0; c < channels; ++c) y[c] = pooled_at<Element>(x + c, taps, channels, choose);
      return;
    }
    for (std::size_t c = 0; c < channels; c += kLanes) {
      const std::size_t first = std::min(c, channels - kLanes);
      const auto most = pooled_at<Vector>(x + first, taps, channels, choose);
      std::memcpy(y + first, &most, sizeof most);
    }
  }

  template <class Some, class Element, class Choose>
  static Some pooled_at(const Element* x, const Taps& taps, std::size_t channels, const Choose& choose) {
    Some most, other;
    std::memcpy(&most, x + taps[0] * channels, sizeof most);
    for (std::size_t n = 1; n < taps.size(); ++n) {
      std::memcpy(&other, x + taps[n] * channels, sizeof other);
      most = choose(most, other);
    }
    return most;
  }

  // The largest of single bits is any of them.
  template <class Word>
  static void bits(const std::uint8_t* x, const Taps& taps, std::size_t pixel, std::uint8_t* y) {
    for (std::size_t k = 0; k < pixel; k += sizeof(Word)) {
      Word all = 0;
      for (const std::uint32_t tap : taps) {
        Word word;
        std::memcpy(&word, x + tap * pixel + k, sizeof word);
        all |= word;
      }
      std::memcpy(y + k, &all, sizeof all);
    }
  }

  // Compares 32 codes at once, from the highest plane down: b is larger where it has the first bit that differs.
  static void planes(const Place& in, const Place& out, std::size_t row, const Taps& taps, std::size_t first,
                     std::size_t at) {
    const Value& map = *in.value;
    for (std::size_t k = 0; k < map.pixel; k += 4) {
      std::uint32_t best[kMaxPlanes] = {};
      for (const std::uint32_t tap : taps) {
        std::uint32_t word[kMaxPlanes], larger = 0, equal = ~0u;
        for (unsigned i = map.bits; i-- > 0;) {
          std::memcpy(&word[i], in.bytes(row) + i * map.plane + (first + tap) * map.pixel + k, 4);
          larger |= equal & word[i] & ~best[i];
          equal &= ~(word[i] ^ best[i]);
        }
        for (unsigned i = 0; i < map.bits; ++i) best[i] = (word[i] & larger) | (best[i] & ~larger);
      }
      for (unsigned i = 0; i < map.bits; ++i) {
        std::memcpy(out.bytes(row) + i * out.value->plane + at * map.pixel + k, &best[i], 4);
      }
    }
  }

  void codes(const Place& in, const Place& out, std::size_t row, const Taps& taps, std::size_t first,
             std::size_t at) const {
    const Value& map = *in.value;
    for (unsigned i = 0; i < map.bits; ++i) std::memset(out.bytes(row) + i * out.value->plane + at * map.pixel, 0, map.pixel);
    for (std::size_t c = 0; c < map.channels(); ++c) {
      unsigned best = in.code(row, first, c);
      for (const std::uint32_t tap : taps) {
        const unsigned code = in.code(row, first + tap, c);
        if (ranks_[code] > ranks_[best]) best = code;
      }
      for (unsigned i = 0; i < map.bits; ++i) {
        std::uint8_t& byte = out.bytes(row)[i * out.value->plane + at * map.pixel + c / 8];
        byte = static_cast<std::uint8_t>(byte | ((best >> i) & 1u) << (c % 8));
      }
    }
  }

  std::size_t x_;
  WindowPlan plan_;
  std::vector<std::uint8_t> ranks_;
  bool in_order_ = true;
};

class AveragePoolStep final : public Step {
 public:
  [[gnu::cold]] AveragePoolStep(std::size_t x, const Value& input, const Value& output, const WindowSpec& window, bool count_all)
      : x_(x), plan_(name = "average_pool", input, window), count_all_(count_all) {
    require(input.kind == Kind::real && output.kind == Kind::real && output.channels() == input.channels() &&
                output.height == plan_.height() && output.width == plan_.width(),
            name, "maps of floats", "others");
    for (std::size_t r = 0; r < plan_.region_count(); ++r) {
      require(plan_.taps(r) > 0, name, "windows that see the map", "one that sees padding alone");
    }
    kernel = "portable";
    cost = static_cast<double>(output.pixels() * plan_.taps() * input.channels());
  }

  void run(const Block& block) const override {
    const Place in = block.place(x_), out = block.place(result);
    const std::size_t channels = in.value->channels();
    for (std::size_t row = 0; row < block.rows; ++row) {
      for (std::size_t r = 0; r < plan_.region_count(); ++r) {
        const auto count = static_cast<double>(count_all_ ? plan_.taps() : plan_.taps(r));
        plan_.each_pixel(r, 0, 1, [&](const std::vector<std::uint32_t>& taps, std::size_t first, std::size_t at) {
          average(in.real(row) + first * channels, taps, channels, count, out.real(row) + at * channels);
        });
      }
    }
  }

 private:
  // Some channels at a time, so that their sums are vectors; each of them in the order of the taps.
  static void average(const float* x, const std::vector<std::uint32_t>& taps, std::size_t channels, double count, float* y) {
    constexpr std::size_t kTogether = 64;
    for (std::size_t first = 0; first < channels; first += kTogether) {
      const std::size_t some = std::min(kTogether, channels - first);
      double sums[kTogether] = {};
      for (const std::uint32_t tap : taps) {
        for (std::size_t c = 0; c < some; ++c) sums[c] += x[tap * channels + first + c];
      }
      for (std::size_t c = 0; c < some; ++c) y[first + c] = static_cast<float>(sums[c] / count);
    }
  }

  std::size_t x_;
  WindowPlan plan_;
  bool count_all_;
};

class ScaleStep final : public Step {
 public:
  [[gnu::cold]] ScaleStep(std::size_t x, const Value& input, std::span<const float> scale, std::span<const float> shift)
      : x_(x), scale_(scale.begin(), scale.end()), shift_(shift.begin(), shift.end()) {
    require(input.kind == Kind::real, name = "scale_channels", "floats", "another kind of value");
    require(scale.size() == input.channels() && shift.size() == input.channels(), name,
            {input.channels(), " channels"}, scale.size());
    kernel = "portable";
    cost = static_cast<double>(input.features);
  }

  void run(const Block& block) const override {
    const Place in = block.place(x_), out = block.place(result);
    const std::size_t channels = scale_.size();
    for (std::size_t row = 0; row < block.rows; ++row) {
      for (std::size_t n = 0; n < in.value->features; n += channels) {
        const float* x = in.real(row) + n;
        float* y = out.real(row) + n;
        for (std::size_t c = 0; c < channels; ++c) y[c] = x[c] * scale_[c] + shift_[c];
      }
    }
  }

 private:
  std::size_t x_;
  std::vector<float> scale_, shift_;
};

class ConcatenateStep final : public Step {
 public:
  [[gnu::cold]] ConcatenateStep(const std::vector<std::size_t>& x, const std::vector<Value>& inputs, const Value& output) : x_(x) {
    std::size_t channels = 0;
    name = "concatenate";
    for (const Value& input : inputs) {
      require(input.kind == output.kind && input.bits == output.bits && input.height == output.height &&
                  input.width == output.width && (input.pixel == 0) == (output.pixel == 0),
              name, "values of one size and kind", "others");
      require(input.kind != Kind::planes || (input.pixel != 0 && input.channels() % 32 == 0), name,
              "whole words of channels", input.channels());
      channels += input.channels();
    }
    require(channels == output.channels(), name, {channels, " channels"}, output.channels());
    kernel = "portable";
    cost = static_cast<double>(output.row) / 4;
  }

  void run(const Block& block) const override {
    const Place out = block.place(result);
    const std::size_t planes = std::max(out.value->bits * (out.value->kind == Kind::planes), 1u);
    std::size_t before = 0;
    for (const std::size_t source : x_) {
      const Place in = block.place(source);
      const std::size_t channels = in.value->channels();
      const std::size_t bytes = in.value->kind == Kind::bytes ? channels
                                : in.value->kind == Kind::words ? sizeof(std::int16_t) * channels
                                : in.value->kind == Kind::real ? sizeof(float) * channels
                                                               : in.value->pixel;
      for (std::size_t row = 0; row < block.rows; ++row) {
        for (std::size_t i = 0; i < planes; ++i) {
          const std::uint8_t* x = in.bytes(row) + i * in.value->plane;
          std::uint8_t* y = out.bytes(row) + i * out.value->plane + before;
          for (std::size_t p = 0; p < in.value->pixels(); ++p) {
            std::memcpy(y + p * out.value->pixel, x + p * in.value->pixel, bytes);
          }
        }
      }
      before += bytes;
    }
  }

 private:
  std::vector<std::size_t> x_;
};

}  // namespace

[[gnu::cold]] std::unique_ptr<Step> arrange(std::size_t x, const Value& input, const Value& output) {
  return std::make_unique<ArrangeStep>(x, input, output);
}

[[gnu::cold]] std::unique_ptr<Step> flatten(std::size_t x, const Value& input) { return std::make_unique<FlattenStep>(x, input); }

[[gnu::cold]] std::unique_ptr<Step> max_pool(std::size_t x, const Value& input, const Value& output, const WindowSpec& window,
                               std::span<const std::uint8_t> ranks) {
  return std::make_unique<MaxPoolStep>(x, input, output, window, ranks);
}

[[gnu::cold]] std::unique_ptr<Step> average_pool(std::size_t x, const Value& input, const Value& output, const WindowSpec& window,
                                   bool count_all) {
  return std::make_unique<AveragePoolStep>(x, input, output, window, count_all);
}

[[gnu::cold]] std::unique_ptr<Step> scale_channels(std::size_t x, const Value& input, std::span<const float> scale,
                                     std::span<const float> shift) {
  return std::make_unique<ScaleStep>(x, input, scale, shift);
}

[[gnu::cold]] std::unique_ptr<Step> concatenate(const std::vector<std::size_t>& x, const std::vector<Value>& inputs,
                                  const Value& output) {
  return std::make_unique<ConcatenateStep>(x, inputs, output);
}

}  // namespace lowbit
