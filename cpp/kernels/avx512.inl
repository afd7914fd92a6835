// What the AVX-512 files share. Included inside an anonymous namespace, so that each file keeps its own copy for its own
// instruction set.

// The first `count` of 16 lanes.
inline __mmask16 first_lanes(std::size_t count) { return static_cast<__mmask16>(first_bits(count)); }

inline Group group_of(__m512i lanes) { return {{reinterpret_cast<Integers>(lanes)}}; }
