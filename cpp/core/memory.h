// Vectors whose storage starts on a cache line, as the kernels' aligned loads ask.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace lowbit {

inline constexpr std::size_t kCacheLine = 64;

template <class T>
struct CacheLineAllocator {
  using value_type = T;

  CacheLineAllocator() = default;
  template <class U>
  CacheLineAllocator(const CacheLineAllocator<U>&) {}

  T* allocate(std::size_t count) {
    return static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t{kCacheLine}));
  }
  void deallocate(T* at, std::size_t) { ::operator delete(at, std::align_val_t{kCacheLine}); }
  bool operator==(const CacheLineAllocator&) const = default;
};

template <class T>
using Aligned = std::vector<T, CacheLineAllocator<T>>;

inline constexpr std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

}  // namespace lowbit
