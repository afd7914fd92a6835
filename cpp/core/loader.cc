#include "loader.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "error.h"
#include "visit.h"

namespace lowbit {
namespace {

constexpr const char* kManyPlanes = "many planes, or an input shared with such a layer";
constexpr const char* kAsked = "the path that was asked for";

template <class Step, class Found = std::conditional_t<std::is_const_v<Step>, const steps::Ending, steps::Ending>>
Found* ending_of(Step& step) {
  return visit_held([](auto& s) -> Found* {
    if constexpr (requires { s.ending; }) return &s.ending;
    return nullptr;
  }, step);
}

// Whether an ending leaves planes, by a table or by another rule.
bool leaves_planes(const steps::Ending& ending) {
  return visit_held([](const auto& end) {
    if constexpr (requires { end.form; }) return end.form == Form::planes;
    return std::is_same_v<std::decay_t<decltype(end)>, steps::PlaneEnding>;
  }, ending);
}

template <class... Kinds>
bool is_any(const steps::Any& step) {
  return (std::holds_alternative<Kinds>(step) || ...);
}

const PlaneWeights* planes_of(const steps::Any& step) {
  if (const auto* layer = std::get_if<steps::PlaneFullyConnected>(&step)) return &layer->weights;
  if (const auto* layer = std::get_if<steps::PlaneConvolution>(&step)) return &layer->weights;
  return nullptr;
}

template <class Entry>
std::vector<Entry> bytes_of(const ByteCodes& codes, std::span<const Entry> table) {
  std::vector<Entry> bytes;
  for (const Entry code : table) bytes.push_back(codes.byte[std::min<std::size_t>(code, codes.byte.size() - 1)]);
  return bytes;
}

// Input n of a map that lies pixel by pixel, in the order channel by channel.
std::vector<std::uint32_t> by_pixels(const Value& map) {
  std::vector<std::uint32_t> order(map.features);
  for (std::size_t n = 0; n < order.size(); ++n) {
    order[n] = static_cast<std::uint32_t>(n % map.channels() * map.pixels() + n / map.channels());
  }
  return order;
}

TapRegions regions_of(const Value& input, const steps::PlaneConvolution& s) {
  const Axis rows("plane_convolution", input.height, s.rows), columns("plane_convolution", input.width, s.columns);
  const std::size_t depth = input.channels() / std::max<std::size_t>(s.group, 1), taps = s.rows.kernel * s.columns.kernel;
  TapRegions regions{taps * depth, depth, {}};
  for (const Taps& row : rows.classes()) {
    for (const Taps& column : columns.classes()) {
      std::vector<std::size_t>& valid = regions.valid.emplace_back();
      for (std::size_t i = 0; i < row.count; ++i) {
        for (std::size_t j = 0; j < column.count; ++j) {
          valid.push_back((row.first + i) * s.columns.kernel + column.first + j);
        }
      }
    }
  }
  return regions;
}

Products products_of(const steps::PlaneFullyConnected& layer) {
  const std::size_t planes = layer.weights.factors.columns, words = layer.weights.planes.columns / std::max<std::size_t>(planes, 1);
  return {false, 32 * words, 1, static_cast<unsigned>(layer.weights.input_factors.size()), static_cast<unsigned>(planes)};
}

// Channels at most, as rows of weights are padded. Groups of channels are whole words.
Products products_of(const steps::PlaneConvolution& layer) {
  const std::size_t planes = layer.weights.factors.columns, taps = layer.rows.kernel * layer.columns.kernel;
  const std::size_t inputs = 32 * layer.weights.planes.columns / std::max<std::size_t>(planes, 1);
  return {true, inputs / std::max<std::size_t>(taps, 1), taps, static_cast<unsigned>(layer.weights.input_factors.size()),
          static_cast<unsigned>(planes)};
}

template <class Layer>
bool rather_bytes(const Paths& paths, const Layer& layer) {
  const Products products = products_of(layer);
  return paths.cost(paths.best(Form::bytes, products), products) < paths.cost(paths.best(Form::planes, products), products);
}

}  // namespace

// One way from the plan to a program, with some groups of values kept in planes.
class Loader::Pass final {
 public:
  Pass(const Loader& loader, const std::set<std::size_t>& kept)
      : planned_(loader.planned_), inputs_(loader.features_.size()),
        builder_(loader.features_, loader.level_, loader.allowed_, loader.path_), root_(planned_.size() + inputs_), in_planes_(root_.size()), readers_(root_.size()), number_(root_.size()) {
    builder_.take(loader.taken_);
    std::iota(root_.begin(), root_.end(), std::size_t{0});
    std::iota(number_.begin(), number_.begin() + static_cast<std::ptrdiff_t>(inputs_), std::size_t{0});
    for (std::size_t n = 0; n < planned_.size(); ++n) join(n);
    for (const Planned& one : planned_) read(one);
    for (auto& [root, group] : groups_) {
      if (!group.dear || group.fixed || kept.contains(root)) continue;
      if (const std::optional<ByteCodes> codes = ByteCodes::of(group.factors)) codes_[root] = *codes;
    }
  }

  // Nothing where a group turns out to have to stay in planes.
  std::unique_ptr<Program> finish(const std::vector<std::size_t>& outputs, std::size_t threads, bool pinned) {
    for (std::size_t n = 0; n < planned_.size(); ++n) {
      load(n);
      if (keep_) return nullptr;
    }
    return builder_.finish(numbers(outputs), threads, pinned);
  }

  // The group that has to stay in planes: a layer's weights do not fit bytes.
  std::optional<std::size_t> keep() const { return keep_; }

 private:
  // What an ending looks into.
  struct Tables {
    std::vector<std::uint8_t> bytes;
    std::vector<std::uint16_t> entries;
  };
  // A step that is made when somebody reads its result.
  struct Later {
    std::size_t planned, source;  // the source is a number of the builder
    steps::Any step;
  };

  std::size_t root(std::size_t value) const {
    while (root_[value] != value) value = root_[value];
    return value;
  }

  const ByteCodes* codes(std::size_t value) const {
    const auto found = in_planes_[value] ? codes_.find(root(value)) : codes_.end();
    return found == codes_.end() ? nullptr : &found->second;
  }

  // Which planes step n makes, and with which others they lie alike.
  void join(std::size_t n) {
    const Planned& one = planned_[n];
    const steps::Ending* ending = ending_of(one.step);
    const auto* ranks = std::get_if<steps::RankWords>(&one.step);
    in_planes_[inputs_ + n] = is_any<steps::EncodePlanes>(one.step) || (ranks != nullptr && ranks->form == Form::planes) ||
                              (ending != nullptr && leaves_planes(*ending));
    const bool passes = is_any<steps::Flatten, steps::MaxPool, steps::Concatenate, steps::Arrange, steps::Gather>(one.step);
    for (const std::size_t source : one.sources) {
      ++readers_[source];
      if (!passes || !in_planes_[source]) continue;
      in_planes_[inputs_ + n] = true;
      root_[root(source)] = root(inputs_ + n);
    }
    // Tables become bytes, other rules do not.
    const bool by_rule = ending != nullptr && !std::holds_alternative<steps::PlaneEnding>(*ending) &&
                         !std::holds_alternative<steps::RankEnding>(*ending);
    if (in_planes_[inputs_ + n] && by_rule) rules_.push_back(inputs_ + n);
  }

  // What a reader says of the values that it reads.
  void read(const Planned& one) {
    for (const std::size_t source : one.sources) {
      if (!in_planes_[source]) continue;
      Group& group = groups_[root(source)];
      const PlaneWeights* weights = planes_of(one.step);
      if (weights == nullptr) {
        group.fixed |= !is_any<steps::Flatten, steps::MaxPool, steps::Concatenate, steps::Decode>(one.step);
        continue;
      }
      const std::vector<std::int32_t> factors(weights->input_factors.begin(), weights->input_factors.end());
      group.fixed |= !group.factors.empty() && group.factors != factors;
      group.factors = factors;
      if (const auto* layer = std::get_if<steps::PlaneConvolution>(&one.step)) {
        group.dear |= rather_bytes(builder_.paths(), *layer);
      } else {
        group.dear |= rather_bytes(builder_.paths(), std::get<steps::PlaneFullyConnected>(one.step));
      }
    }
    for (const std::size_t value : rules_) groups_[root(value)].fixed = true;
  }

  std::size_t put(std::size_t n, Sources sources, const steps::Any& step, const char* why = nullptr) {
    const Planned& one = planned_[n];
    std::size_t made = 0;
    try {
      made = builder_.add(sources, step);
    } catch (const TooLarge&) {
      throw;
    } catch (const Error& error) {
      const char* kind = visit_held([](const auto& s) { return std::decay_t<decltype(s)>::kName; }, step);
      throw Error(Error::Kind::engine, std::string("the engine does not run this ") + kind, one.value, error.expected,
                  error.found, "");
    }
    Step& last = builder_.last();
    last.made = one.value, last.why = why == nullptr ? one.why : why;
    if (const ByteCodes* own = codes(inputs_ + n)) {
      last.merges_codes = own->merges;
      last.code_of_byte.resize(std::size_t{1} + *std::max_element(own->byte.begin(), own->byte.end()));
      for (std::size_t code = 0; code < own->count; ++code) last.code_of_byte[own->byte[code]] = static_cast<std::uint8_t>(code);
    }
    return made;
  }

  // The builder's number of a planned value.
  std::size_t number(std::size_t value) {
    const auto later = later_.find(value);
    if (later != later_.end()) {
      const Later one = later->second;
      later_.erase(later);
      number_[value] = put(one.planned, {one.source}, one.step);
    }
    return number_[value];
  }

  Sources numbers(const Sources& values) {
    Sources all;
    for (const std::size_t value : values) all.push_back(number(value));
    return all;
  }

  void load(std::size_t n) {
    const Planned& one = planned_[n];
    const bool done = visit_held([&](const auto& step) {
      if constexpr (requires { load(n, one, step); }) return load(n, one, step), true;
      return false;
    }, one.step);
    if (done) return;
    const steps::Ending* ending = ending_of(one.step);
    if (ending == nullptr || codes(inputs_ + n) == nullptr) return static_cast<void>(number_[inputs_ + n] = put(n, numbers(one.sources), one.step));
    steps::Any changed = one.step;
    const Tables tables = end(inputs_ + n, *ending_of(changed));
    number_[inputs_ + n] = put(n, numbers(one.sources), changed);
  }

  // Bytes are arranged after they are made, four to a float. Its one reader does it.
  void load(std::size_t n, const Planned& one, const steps::Arrange& step) {
    if (readers_[inputs_ + n] == 1) {
      const auto reader = std::find_if(planned_.begin(), planned_.end(), [&](const Planned& other) {
        return std::find(other.sources.begin(), other.sources.end(), inputs_ + n) != other.sources.end();
      });
      const bool encoded = std::holds_alternative<steps::EncodePlanes>(reader->step);
      if (encoded && codes(static_cast<std::size_t>(reader - planned_.begin()) + inputs_) != nullptr) {
        later_.insert({inputs_ + n, {n, number(one.sources.at(0)), step}});
        return;
      }
    }
    number_[inputs_ + n] = put(n, numbers(one.sources), step);
  }

  void load(std::size_t n, const Planned& one, const steps::EncodePlanes& step) {
    const ByteCodes* own = codes(inputs_ + n);
    if (own == nullptr || one.sources.size() != 1) return static_cast<void>(number_[inputs_ + n] = put(n, numbers(one.sources), step));
    const std::vector<std::uint8_t> table = bytes_of<std::uint8_t>(*own, step.table);
    const steps::EncodeBytes bytes{step.thresholds, table};
    const auto arranged = later_.find(one.sources[0]);
    if (arranged == later_.end()) return static_cast<void>(number_[inputs_ + n] = put(n, numbers(one.sources), bytes));
    const Later map = arranged->second;
    later_.erase(arranged);
    later_.insert({inputs_ + n, {n, put(n, {map.source}, bytes), map.step}});
  }

  void load(std::size_t n, const Planned& one, const steps::RankWords& step) {
    steps::RankWords changed = step;
    std::vector<std::uint16_t> table;
    if (const ByteCodes* own = codes(inputs_ + n)) {
      table = bytes_of<std::uint16_t>(*own, step.table);
      changed.form = Form::bytes, changed.table = table;
    }
    number_[inputs_ + n] = put(n, numbers(one.sources), changed);
  }

  // Bytes need none where who reads them takes the map, or where they were arranged for nobody else.
  void load(std::size_t n, const Planned& one, const steps::Flatten& step) {
    if (codes(inputs_ + n) == nullptr || one.sources.size() != 1) {
      number_[inputs_ + n] = put(n, numbers(one.sources), step);
      return;
    }
    const auto arranged = later_.find(one.sources[0]);
    if (arranged != later_.end() && std::holds_alternative<steps::Arrange>(arranged->second.step)) {
      number_[inputs_ + n] = arranged->second.source;
    } else {
      later_.insert({inputs_ + n, {n, number(one.sources[0]), step}});
    }
  }

  void load(std::size_t n, const Planned& one, const steps::Decode& step) {
    const ByteCodes* input = one.sources.size() == 1 ? codes(one.sources[0]) : nullptr;
    std::vector<float> table(std::size_t{1} << kMaxBits);
    steps::Decode changed = step;
    if (input != nullptr) {
      for (std::size_t code = 0; code < std::min(step.table.size(), input->count); ++code) table[input->byte[code]] = step.table[code];
      changed.table = table;
    }
    number_[inputs_ + n] = put(n, numbers(one.sources), changed);
  }

  void load(std::size_t n, const Planned& one, const steps::PlaneFullyConnected& step) {
    steps::PlaneFullyConnected layer = step;
    const Tables tables = end(inputs_ + n, layer.ending);
    const ByteCodes* input = one.sources.size() == 1 ? codes(one.sources[0]) : nullptr;
    if (input == nullptr) return static_cast<void>(number_[inputs_ + n] = put(n, numbers(one.sources), layer));
    const auto flat = later_.find(one.sources[0]);
    std::size_t x = 0;
    std::vector<std::uint32_t> order;
    if (flat != later_.end() && builder_.value(flat->second.source).dense()) {
      x = flat->second.source, order = by_pixels(builder_.value(x));
    } else {
      x = number(one.sources[0]);
    }
    const std::size_t features = builder_.value(x).features;
    std::optional<ByteForm> form = in_bytes(layer.weights, *input, {features, features, {{0}}}, order);
    if (!form) return static_cast<void>(keep_ = root(one.sources[0]));
    number_[inputs_ + n] = put(n, {x}, steps::ByteFullyConnected{form->weights(), form->ending(layer.ending)}, why_bytes());
  }

  void load(std::size_t n, const Planned& one, const steps::PlaneConvolution& step) {
    steps::PlaneConvolution layer = step;
    const Tables tables = end(inputs_ + n, layer.ending);
    const ByteCodes* input = one.sources.size() == 1 ? codes(one.sources[0]) : nullptr;
    if (input == nullptr) return static_cast<void>(number_[inputs_ + n] = put(n, numbers(one.sources), layer));
    const std::size_t x = number(one.sources[0]);
    std::optional<ByteForm> form = in_bytes(layer.weights, *input, regions_of(builder_.value(x), layer), {});
    if (!form || (layer.group > 1 && form->has_row_factor())) return static_cast<void>(keep_ = root(one.sources[0]));
    const steps::ByteConvolution bytes{layer.rows, layer.columns, layer.group, form->weights(), form->ending(layer.ending)};
    number_[inputs_ + n] = put(n, {x}, bytes, why_bytes());
  }

  const char* why_bytes() const { return builder_.paths().forced() ? kAsked : kManyPlanes; }

  // Nothing where the weights do not fit.
  std::optional<ByteForm> in_bytes(const PlaneWeights& weights, const ByteCodes& input, const TapRegions& taps,
                                   std::span<const std::uint32_t> order) {
    builder_.take(weights.factors.rows * taps.inputs);
    return ByteForm::of(weights, input, taps, order);
  }

  // Lets a layer end in bytes, where its result lies in bytes; returns the table, which must live on.
  Tables end(std::size_t value, steps::Ending& ending) const {
    Tables tables;
    const ByteCodes* own = codes(value);
    if (own == nullptr) return tables;
    if (const auto* planes = std::get_if<steps::PlaneEnding>(&ending)) {
      tables.bytes = bytes_of<std::uint8_t>(*own, planes->table);
      ending = steps::ByteEnding{planes->thresholds, tables.bytes};
    } else if (const auto* ranks = std::get_if<steps::RankEnding>(&ending)) {
      tables.entries = bytes_of<std::uint16_t>(*own, ranks->table);
      ending = steps::RankEnding{Form::bytes, ranks->thresholds, tables.entries};
    }
    return tables;
  }

  const std::vector<Planned>& planned_;
  const std::size_t inputs_;
  Builder builder_;
  std::vector<std::size_t> root_;  // of a value: another one that lies alike, up to the group's own
  std::vector<bool> in_planes_;
  std::vector<std::size_t> readers_, number_;
  std::vector<std::size_t> rules_;  // values in planes that no table makes
  std::map<std::size_t, Group> groups_;
  std::map<std::size_t, ByteCodes> codes_;  // of groups that become bytes
  std::map<std::size_t, Later> later_;
  std::optional<std::size_t> keep_;
};

Loader::Loader(std::vector<std::size_t> features, const std::string& level, std::size_t allowed, const std::string& path)
    : features_(std::move(features)), allowed_(allowed), level_(level), path_(path) {
  const Builder checked(features_, level, allowed, path);
}

void Loader::add(Sources sources, const steps::Any& step, std::string value, std::string why) {
  for (const std::size_t source : sources) {
    require(source < features_.size() + planned_.size(), "value", "one that exists already", source);
  }
  planned_.push_back({std::move(sources), step, std::move(value), std::move(why)});
}

void Loader::take(std::size_t bytes) {
  taken_ = bytes > std::numeric_limits<std::size_t>::max() - taken_ ? std::numeric_limits<std::size_t>::max() : taken_ + bytes;
  if (taken_ > allowed_) throw TooLarge("the network", taken_, allowed_);
}

std::unique_ptr<Program> Loader::finish(const std::vector<std::size_t>& outputs, std::size_t threads, bool pinned) {
  for (const std::size_t output : outputs) {
    require(output < features_.size() + planned_.size(), "output", "a value that a step makes", output);
  }
  std::set<std::size_t> kept;
  while (true) {
    Pass pass(*this, kept);
    if (std::unique_ptr<Program> program = pass.finish(outputs, threads, pinned)) return program;
    kept.insert(*pass.keep());
  }
}

}  // namespace lowbit
