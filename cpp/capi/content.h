// The content of a file: mapped where the system can, else read.
#pragma once

#include <cstddef>
#include <span>

#if !defined(__unix__) && !defined(__APPLE__)
#include <vector>
#endif

namespace lowbit {

class MappedFile final {
 public:
  // Throws Error, where it is no regular file or cannot be read.
  explicit MappedFile(const char* path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> content() const { return {at_, size_}; }

 private:
  const std::byte* at_ = nullptr;
  std::size_t size_ = 0;
#if !defined(__unix__) && !defined(__APPLE__)
  std::vector<std::byte> read_;
#endif
};

}  // namespace lowbit
