// Sums of 16-bit words and their ranks among few thresholds, in plain C++ that the compiler makes vectors of.
namespace lowbit::portable {
namespace {

// Words of one piece of a plane.
constexpr std::size_t kPiece = 32;

inline void rank_piece(const WordRanker& ranker, const std::int16_t* x, std::size_t count, std::uint16_t* entry) {
  std::int16_t word[kPiece] = {}, rank[kPiece] = {};
  __builtin_memcpy(word, x, count * sizeof *x);
  for (std::size_t c = 0; c < ranker.steps; ++c) {
    for (std::size_t n = 0; n < kPiece; ++n) rank[n] = static_cast<std::int16_t>(rank[n] + (word[n] > ranker.thresholds[c] ? 1 : 0));
  }
  for (std::size_t n = 0; n < kPiece; ++n) entry[n] = ranker.table[rank[n]];
}

// Lanes that do not exist give zero bits.
inline void put_planes(const WordRanker& ranker, const std::uint16_t* entry, std::size_t count, std::byte* y, std::size_t y_plane) {
  std::uint8_t code[kPiece] = {};
  for (std::size_t n = 0; n < count; ++n) code[n] = static_cast<std::uint8_t>(entry[n]);
  for (unsigned bit = 0; bit < ranker.bits; ++bit) {
    std::uint32_t piece = 0;
    for (unsigned part = 0; part < 2; ++part) piece |= bits_of(read_as<Bytes>(code + 16 * part), bit) << 16 * part;
    __builtin_memcpy(y + bit * y_plane, &piece, sizeof piece);
  }
}

}  // namespace

void add_words(const WordAdder& adder, const std::int16_t* a, const std::int16_t* b, std::int16_t* y, std::size_t count) {
  add_shifted(adder, a, b, y, count);
}

void rank_words(const WordRanker& ranker, const Rows& rows) {
  for (std::size_t row = 0; row < rows.count; ++row) {
    const auto* x = reinterpret_cast<const std::int16_t*>(rows.x + row * rows.x_row);
    std::byte* y = rows.y + row * rows.y_row;
    for (std::size_t first = 0; first < ranker.features; first += kPiece) {
      const std::size_t left = ranker.features - first, count = left < kPiece ? left : kPiece;
      std::uint16_t entry[kPiece];
      rank_piece(ranker, x + first, count, entry);
      if (ranker.form == Form::planes) {
        put_planes(ranker, entry, count, y + first / 8, rows.y_plane);
      } else if (ranker.form == Form::words) {
        __builtin_memcpy(y + 2 * first, entry, count * sizeof *entry);
      } else {
        for (std::size_t n = 0; n < count; ++n) y[first + n] = static_cast<std::byte>(entry[n]);
      }
    }
  }
}

}  // namespace lowbit::portable
