#include "program_file.h"

#include <bit>
#include <cstring>
#include <utility>

#include "blake2b.h"
#include "error.h"
#include "loader.h"
#include "reader.h"

namespace lowbit {
namespace {

static_assert(std::endian::native == std::endian::little, "files are read as they lie");

constexpr unsigned char kMagic[8] = {0x89, 'L', 'B', 'P', '\r', '\n', 0x1a, '\n'};
constexpr std::uint32_t kVersion = 1;
constexpr std::uint64_t kMaxLength = std::uint64_t{1} << 28;  // so that products do not wrap
constexpr std::size_t kHashAt = 32, kAlignment = 64, kMostAxes = 4;
constexpr const char* kAgain = "Compile the network again: lowbit compile.";

struct Header {
  unsigned char magic[8];
  std::uint32_t version, reserved;
  std::uint64_t size;
  std::uint32_t sections, record_bytes;
  std::byte hash[32];
};
static_assert(sizeof(Header) == 64);

struct Section {
  char type[8];
  std::uint64_t offset, bytes, axes, lengths[kMostAxes];
};
static_assert(sizeof(Section) == 64);

[[noreturn]] void damaged(const std::string& where, std::string_view expected, std::string_view found) {
  throw Error(Error::Kind::file, "the program file is damaged", where, std::string(expected), std::string(found), kAgain);
}

[[noreturn]] void unsupported(const std::string& what, const std::string& where, std::string_view expected, std::string_view found) {
  throw Error(Error::Kind::unsupported, what, where, std::string(expected), std::string(found),
              "Compile the network again with this version of lowbit, or read the file with the one that wrote it.");
}

Header header_of(std::span<const std::byte> content, const std::string& where) {
  Header header;
  if (content.size() < sizeof header || std::memcmp(content.data(), kMagic, std::min(content.size(), sizeof kMagic)) != 0) {
    throw Error(Error::Kind::file, "this is no program file", where, "a file that lowbit compile made",
                std::to_string(content.size()) + " bytes that begin otherwise", kAgain);
  }
  std::memcpy(&header, content.data(), sizeof header);
  if (header.version != kVersion) {
    unsupported("the program file has another version", where, std::to_string(kVersion), std::to_string(header.version));
  }
  if (header.size != content.size()) {
    damaged(where, std::to_string(header.size) + " bytes", std::to_string(content.size()) + " bytes");
  }
  const std::uint64_t tables = sizeof header + sizeof(Section) * std::uint64_t{header.sections} + header.record_bytes;
  if (header.reserved != 0 || tables > header.size) damaged(where, "tables within the file", std::to_string(tables) + " bytes of them");
  Blake2b hash;
  hash.add(content.first(kHashAt)), hash.add(content.subspan(sizeof header));
  if (std::memcmp(hash.finish().data(), header.hash, sizeof header.hash) != 0) damaged(where, "the content that it was hashed with", "another");
  return header;
}

// UTF-8 without zero bytes, as RFC 3629 has it.
bool is_text(std::string_view text) {
  for (std::size_t n = 0; n < text.size();) {
    const auto first = static_cast<unsigned char>(text[n]);
    const std::size_t more = first < 0x80 ? 0 : first < 0xc2 ? 4 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf5 ? 3 : 4;
    if (first == 0 || more > 3 || more >= text.size() - n) return false;
    std::uint32_t point = more == 0 ? first : first & (0x3fu >> more);
    for (std::size_t k = 1; k <= more; ++k) {
      const auto next = static_cast<unsigned char>(text[n + k]);
      if ((next & 0xc0) != 0x80) return false;
      point = point << 6 | (next & 0x3fu);
    }
    constexpr std::uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
    if (point < kLeast[more] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return false;
    n += more + 1;
  }
  return true;
}

// The records, read in order.
class Records final {
 public:
  Records(std::span<const std::byte> content, const std::string& where, std::size_t allowed)
      : content_(content), where_(where), allowed_(allowed) {
    if (reinterpret_cast<std::uintptr_t>(content.data()) % 8 != 0) damaged(where, "bytes in memory that begin at a multiple of 8", "others");
    const Header header = header_of(content, where);
    count_ = header.sections;
    next_ = sizeof(Header) + count_ * sizeof(Section);
    end_ = next_ + header.record_bytes;
    const std::size_t structs = take<std::uint32_t>();
    for (std::size_t n = 0; n < structs; ++n) lines_.push_back(text());
  }

  void finish() const {
    if (next_ != end_) damaged(where_, "records until the end of their part", std::to_string(end_ - next_) + " bytes more");
  }

  template <class T>
  T take() {
    T value;
    need(sizeof value);
    std::memcpy(&value, content_.data() + next_, sizeof value);
    next_ += sizeof value;
    return value;
  }

  std::string text() {
    const std::size_t size = take<std::uint32_t>();
    need(size);
    const std::string_view text(reinterpret_cast<const char*>(content_.data()) + next_, size);
    if (!is_text(text)) damaged(where_, "text in UTF-8", "other bytes");
    charge(size);
    next_ += size;
    return std::string(text);
  }

  // How many elements a list has, each of so many bytes in memory.
  std::size_t count(std::size_t each) {
    const std::size_t count = take<std::uint32_t>();
    need(count);  // each takes a byte at least
    charge(count * each);
    return count;
  }

  // The line of the struct that comes next.
  const std::string& line(bool taken) {
    const std::size_t before = next_, number = take<std::uint32_t>();
    if (!taken) next_ = before;
    if (number >= lines_.size()) damaged(where_, "one of " + std::to_string(lines_.size()) + " kinds of records", std::to_string(number));
    return lines_[number];
  }

  Section section() {
    const std::size_t number = take<std::uint32_t>();
    if (number >= count_) damaged(where_, "one of " + std::to_string(count_) + " arrays", std::to_string(number));
    Section one;
    std::memcpy(&one, content_.data() + sizeof(Header) + number * sizeof one, sizeof one);
    const bool inside = one.offset >= end_ && one.offset <= content_.size() && one.bytes <= content_.size() - one.offset;
    if (!inside || one.offset % kAlignment != 0 || one.axes < 1 || one.axes > kMostAxes) {
      damaged(where_ + ", array " + std::to_string(number), "1 to 4 axes within the file, at a multiple of 64", "others");
    }
    return one;
  }

  // Where an array begins, which is read, once more if it was before.
  const std::byte* at(const Section& section) {
    array_bytes_ += std::min<std::uint64_t>(section.bytes, std::numeric_limits<std::size_t>::max() / 2 - array_bytes_);
    return content_.data() + section.offset;
  }
  std::size_t array_bytes() const { return array_bytes_; }
  const std::string& where() const { return where_; }

 private:
  void need(std::size_t bytes) const {
    if (bytes > end_ - next_) damaged(where_, std::to_string(bytes) + " bytes more of records", std::to_string(end_ - next_));
  }

  void charge(std::size_t bytes) {
    taken_ += bytes;
    if (taken_ > allowed_) throw TooLarge("the program file", taken_, allowed_);
  }

  std::span<const std::byte> content_;
  const std::string& where_;
  std::size_t allowed_, taken_ = 0, array_bytes_ = 0, count_ = 0, next_ = 0, end_ = 0;
  std::vector<std::string> lines_;
};

// One of them, and where it is, for errors.
class Record final {
 public:
  explicit Record(Records& records) : records_(records), parent_(nullptr), name_("network") {}
  Record(const Record& parent, std::string_view name) : records_(parent.records_), parent_(&parent), name_(name) {}

  Record field(std::string_view name) const { return {*this, name}; }

  template <class T>
  T number() const {
    if constexpr (std::is_same_v<T, bool>) {
      return truth();
    } else if constexpr (std::is_floating_point_v<T>) {
      return static_cast<T>(records_.take<double>());
    } else {
      const std::int64_t value = records_.take<std::int64_t>();
      if (!std::in_range<T>(value)) refuse("an integer in its range");
      return static_cast<T>(value);
    }
  }

  std::string text() const { return records_.text(); }

  template <class T>
  std::size_t count() const {
    return records_.count(sizeof(T));
  }

  template <class T>
  Dense<T> array() const {
    const Dense<std::byte> bytes = array(number_name<T>(), sizeof(T));
    return {reinterpret_cast<const T*>(bytes.data), bytes.axes, bytes.rows, bytes.columns};
  }

  std::string_view kind() const { return word_of(records_.line(false)); }

  void enter(std::string_view own) const {
    const std::string_view line = records_.line(true);
    if (line == own) return;
    if (word_of(line) != word_of(own)) refuse(word_of(own));
    unsupported("the program file has other fields", path(), own, line);
  }

  [[noreturn]] void refuse(std::string_view expected) const { damaged(path(), expected, "something else"); }
  [[noreturn]] void unknown(std::string_view expected, std::string_view found) const {
    unsupported("the program file holds what this version does not know", path(), expected, found);
  }

 private:
  static std::string_view word_of(std::string_view line) { return line.substr(0, line.find(' ')); }

  std::string path() const { return parent_ == nullptr ? records_.where() : parent_->path() + "/" + std::string(name_); }

  bool truth() const {
    const auto byte = records_.take<std::uint8_t>();
    if (byte > 1) refuse("0 or 1");
    return byte == 1;
  }

  Dense<std::byte> array(const char* type, std::size_t each) const {
    const Section section = records_.section();
    if (std::string_view(section.type, strnlen(section.type, sizeof section.type)) != type) refuse(std::string("an array of ") + type);
    std::uint64_t columns = 1;
    for (std::size_t n = 1; n < section.axes && columns != 0; ++n) {
      if (section.lengths[n] > kMaxLength / columns) refuse("lengths that a program can have");
      columns *= section.lengths[n];
    }
    const std::uint64_t rows = section.lengths[0];
    if (rows > kMaxLength || section.bytes != rows * columns * each) refuse("as many elements as its lengths say");
    return {records_.at(section), static_cast<std::size_t>(section.axes), static_cast<std::size_t>(rows), static_cast<std::size_t>(columns)};
  }

  Records& records_;
  const Record* parent_;
  std::string_view name_;
};

template <class... Structs>
void add_lines(std::vector<std::string>& to) {
  for (const std::string_view line : {Reader<Structs>::line()...}) to.emplace_back(line);
}

template <class... Structs>
void add_lines(std::vector<std::string>& to, const std::variant<Structs...>*) {
  add_lines<Structs...>(to);
}

}  // namespace

records::Network read_program_file(std::span<const std::byte> content, const std::string& where, std::size_t allowed) {
  Records records(content, where, allowed);
  records::Network network;
  Reader<records::Network>::read(Record(records), network);
  records.finish();
  network.array_bytes = records.array_bytes();
  return network;
}

std::vector<std::string> program_file_lines() {
  std::vector<std::string> lines;
  add_lines<records::Network, records::Port, records::PlannedStep, records::Note, PlaneWeights, ByteWeights, WordWeights, WeightGroups,
            AxisSpec>(lines);
  add_lines(lines, static_cast<const steps::Any*>(nullptr));
  add_lines(lines, static_cast<const steps::Ending*>(nullptr));
  return lines;
}

namespace {

// Features of one row of an input or output; its lengths may be anything.
std::size_t features_of(const records::Port& port) {
  std::size_t features = 1;
  for (const std::size_t length : port.lengths) {
    require(length >= 1 && length <= kMaxFeatures / features, port.name.c_str(), "1 to 2^24 elements", "others");
    features *= length;
  }
  return features;
}

void check_ends(const records::Network& network, const std::string& where) {
  require(!network.inputs.empty() && network.outputs.size() == network.results.size(), "network",
          "inputs, and a result for each output", "others");
  require(network.by_rows || !network.batched, "network", "rows where there is a batch", "none");
  for (const auto* ports : {&network.inputs, &network.outputs}) {
    for (const records::Port& port : *ports) {
      if (find_name(kPortTypes, port.type) == count_names(kPortTypes)) {
        unsupported("the program has numbers of another type", where + "/" + port.name, kPortTypes, port.type);
      }
      const std::size_t axes = port.lengths.size() + (network.batched ? 1 : 0);
      require(port.shape.size() == axes && axes <= 32 && (!network.by_rows || axes >= 1), port.name.c_str(), "as many lengths as axes, up to 32", "others");
      require(!network.by_rows || network.batched || port.lengths[0] == 1, port.name.c_str(), "one sample a row", "more");
    }
  }
}

std::unique_ptr<Program> loaded(const records::Network& network, const std::string& where, const LoadOptions& options) {
  check_ends(network, where);
  std::vector<std::size_t> features;
  for (const records::Port& port : network.inputs) features.push_back(features_of(port));
  Loader loader(features, options.level, options.allowed, options.path);
  loader.take(network.array_bytes);
  for (const records::PlannedStep& step : network.steps) {
    loader.add(step.sources, step.operation, step.value, step.why);
  }
  std::unique_ptr<Program> program = loader.finish(network.results, options.threads, options.pinned);
  for (std::size_t n = 0; n < program->outputs(); ++n) {
    require(program->output(n).features == features_of(network.outputs[n]), network.outputs[n].name.c_str(),
            {program->output(n).features, " elements"}, "others");
  }
  return program;
}

}  // namespace

std::unique_ptr<Program> load_program(const records::Network& network, const std::string& where, const LoadOptions& options) {
  check_threads(options.threads);
  static_cast<void>(select_kernels(options.level, options.path));
  try {
    return loaded(network, where, options);
  } catch (const Error& error) {
    if (error.kind != Error::Kind::engine) throw;
    throw Error(Error::Kind::file, std::string("the program file is damaged: ") + error.what(), where + "/" + error.where, error.expected,
                error.found, kAgain);
  }
}

}  // namespace lowbit
