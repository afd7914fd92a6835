// Vectors whose storage starts on a cache line, as the kernels' aligned loads ask.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace lowbit {

inline constexpr std::size_t kCacheLine = 64, kHugePage = std::size_t{1} << 21;

#if defined(__linux__)
// Pages of their own, which nothing else grows into and which go back to the system. Those that lie as one fill the second cache
// evenly: 3 to 5 % where it holds half of a layer. The rest keeps small ones: else it would take a large one whole.
[[gnu::noinline, gnu::cold]] inline void* map_pages(std::size_t bytes) {
  void* all = mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) throw std::bad_alloc();
  const auto begin = reinterpret_cast<std::uintptr_t>(all), at = (begin + kHugePage - 1) / kHugePage * kHugePage;
  if (at != begin) munmap(all, at - begin);
  const std::uintptr_t page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE)), end = (at + bytes + page - 1) / page * page;
  if (begin + bytes + kHugePage > end) munmap(reinterpret_cast<void*>(end), begin + bytes + kHugePage - end);
  madvise(reinterpret_cast<void*>(at), bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
  return reinterpret_cast<void*>(at);
}
#endif

template <class T>
struct CacheLineAllocator {
  using value_type = T;

  CacheLineAllocator() = default;
  template <class U>
  CacheLineAllocator(const CacheLineAllocator<U>&) {}

  T* allocate(std::size_t count) {
    const std::size_t bytes = count * sizeof(T);
#if defined(__linux__)
    if (bytes >= kHugePage) return static_cast<T*>(map_pages(bytes));
#endif
    return static_cast<T*>(::operator new(bytes, std::align_val_t{kCacheLine}));
  }
  void deallocate(T* at, std::size_t count) {
    const std::size_t bytes = count * sizeof(T);
#if defined(__linux__)
    if (bytes >= kHugePage) return static_cast<void>(munmap(at, bytes));
#endif
    ::operator delete(at, std::align_val_t{kCacheLine});
  }
  bool operator==(const CacheLineAllocator&) const = default;
};

template <class T>
using Aligned = std::vector<T, CacheLineAllocator<T>>;

// Bytes as the system gives them: what is never touched takes no memory.
class Bytes final {
 public:
  explicit Bytes(std::size_t size) : size_(size), at_(size == 0 ? nullptr : CacheLineAllocator<std::byte>().allocate(size)) {}
  ~Bytes() {
    if (at_ != nullptr) CacheLineAllocator<std::byte>().deallocate(at_, size_);
  }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;

  std::byte* data() const { return at_; }
  std::size_t size() const { return size_; }

 private:
  std::size_t size_;
  std::byte* at_;
};

inline constexpr std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

}  // namespace lowbit
