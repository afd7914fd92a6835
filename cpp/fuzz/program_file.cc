// Opens and runs whatever comes as a program file. The hash is made right first: what is behind it is what is tried.
//
// With clang this is a target of libFuzzer; else main() mutates files itself: lowbit_fuzz COUNT SEED FILE...
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <mutex>
#include <random>
#include <vector>

#include "../core/blake2b.h"
#include "../core/error.h"
#include "../core/program_file.h"

namespace {

using namespace lowbit;

constexpr std::size_t kAllowed = std::size_t{1} << 26, kHeader = 64, kHashAt = 32, kSizeAt = 16, kRows = 2;
constexpr double kMostWork = 1e7;  // nanoseconds of a run
constexpr unsigned char kStart[] = {0x89, 'L', 'B', 'P', '\r', '\n', 0x1a, '\n', 1, 0, 0, 0, 0, 0, 0, 0};

void make_right(std::span<std::byte> content) {
  if (content.size() < kHeader) return;
  const std::uint64_t size = content.size();
  std::memcpy(content.data(), kStart, sizeof kStart);
  std::memcpy(content.data() + kSizeAt, &size, sizeof size);
  Blake2b hash;
  hash.add(content.first(kHashAt)), hash.add(content.subspan(kHeader));
  const Blake2b::Hash made = hash.finish();
  std::memcpy(content.data() + kHashAt, made.data(), made.size());
}

// Whether it ran.
bool attempt(std::span<std::byte> content) try {
  make_right(content);
  const records::Network network = read_program_file(content, "fuzz", kAllowed);
  const std::unique_ptr<Program> program = load_program(network, "fuzz", {.allowed = kAllowed});
  if (program->cost(kRows) > kMostWork) return false;
  const std::size_t rows = network.by_rows ? kRows : 1;
  std::vector<std::unique_ptr<float[]>> rooms;  // each by itself, so that a byte beside it is found
  std::vector<std::byte*> ports;
  for (std::size_t n = 0; n < program->inputs() + program->outputs(); ++n) {
    const Value& value = n < program->inputs() ? program->input(n) : program->output(n - program->inputs());
    const std::size_t count = rows * value.features;
    rooms.push_back(std::make_unique<float[]>(count));
    for (std::size_t k = 0; k < count; ++k) rooms.back()[k] = static_cast<float>(k % 13) / 6.0f - 1.0f;
    ports.push_back(reinterpret_cast<std::byte*>(rooms.back().get()));
  }
  const std::lock_guard guard(program->lock());
  program->run(ports, rows);
  return true;
} catch (const Error&) {
  return false;
} catch (const std::bad_alloc&) {
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::uint64_t> room(size / 8 + 1);
  std::memcpy(room.data(), data, size);
  attempt({reinterpret_cast<std::byte*>(room.data()), size});
  return 0;
}

#if !defined(LOWBIT_LIBFUZZER)

namespace {

constexpr std::uint64_t kNumbers[] = {0, 1, 2, 3, 7, 16, 64, 255, 256, 65535, 1u << 20, 1u << 24, 0x7fffffff, 0x80000000, 0xffffffff, std::uint64_t{1} << 63, ~std::uint64_t{0}};

// One to three changes, most of them in tables and records.
std::vector<std::uint8_t> mutated(std::vector<std::uint8_t> content, std::mt19937_64& random) {
  std::uint32_t arrays = 0, records = 0;
  std::memcpy(&arrays, content.data() + 24, 4), std::memcpy(&records, content.data() + 28, 4);
  const std::size_t tables = std::min(content.size(), kHeader + kHeader * arrays + records);
  for (std::size_t n = random() % 3 + 1; n > 0; --n) {
    const std::size_t end = random() % 4 == 0 ? content.size() : tables, at = kHeader + random() % (end - kHeader);
    const std::uint64_t number = kNumbers[random() % std::size(kNumbers)];
    switch (random() % 4) {
      case 0: content[at] = static_cast<std::uint8_t>(random()); break;
      case 1: content[at] = static_cast<std::uint8_t>(content[at] + random() % 5 - 2); break;
      case 2: std::memcpy(content.data() + at, &number, std::min<std::size_t>(4, content.size() - at)); break;
      default: std::memcpy(content.data() + at, &number, std::min<std::size_t>(8, content.size() - at));
    }
  }
  return content;
}

}  // namespace

int main(int count, char** words) {
  if (count < 4) return std::fprintf(stderr, "usage: lowbit_fuzz COUNT SEED FILE...\n"), 2;
  std::vector<std::vector<std::uint8_t>> files;
  for (int n = 3; n < count; ++n) {
    std::ifstream file(words[n], std::ios::binary);
    files.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    if (files.back().size() <= kHeader) return std::fprintf(stderr, "%s cannot be used\n", words[n]), 2;
  }
  const unsigned long long first = std::strtoull(words[2], nullptr, 10), end = first + std::strtoull(words[1], nullptr, 10);
  unsigned long long ran = 0;
  for (unsigned long long seed = first; seed < end; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<std::uint8_t> content = mutated(files[seed % files.size()], random);
    std::vector<std::uint64_t> room(content.size() / 8 + 1);
    std::memcpy(room.data(), content.data(), content.size());
    if (std::getenv("LOWBIT_FUZZ_SEEDS") != nullptr) std::fprintf(stderr, "%llu\n", seed);
    ran += attempt({reinterpret_cast<std::byte*>(room.data()), content.size()});
  }
  std::printf("%llu files, of which %llu ran\n", end - first, ran);
  return 0;
}

#endif
