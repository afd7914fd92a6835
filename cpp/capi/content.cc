#include "content.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#if defined(__unix__) || defined(__APPLE__)
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

#include "../core/error.h"

namespace lowbit {
namespace {

[[noreturn]] void unreadable(const char* path, const char* found) {
  throw Error(Error::Kind::file, "the file cannot be opened", path, "a file that may be read", found, "Check the path and its permissions.");
}

}  // namespace

#if defined(__unix__) || defined(__APPLE__)

MappedFile::MappedFile(const char* path) {
  const int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (file < 0) unreadable(path, std::strerror(errno));
  struct stat status;
  const bool regular = fstat(file, &status) == 0 && S_ISREG(status.st_mode);
  size_ = regular ? static_cast<std::size_t>(status.st_size) : 0;
  void* at = size_ == 0 ? nullptr : mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
  const int reason = errno;
  close(file);
  if (!regular) unreadable(path, "something that is no regular file");
  if (at == MAP_FAILED) unreadable(path, std::strerror(reason));
  at_ = static_cast<const std::byte*>(at);
}

MappedFile::~MappedFile() {
  if (at_ != nullptr) munmap(const_cast<std::byte*>(at_), size_);
}

#else

MappedFile::MappedFile(const char* path) {
  std::FILE* file = std::fopen(path, "rb");
  if (file == nullptr) unreadable(path, std::strerror(errno));
  std::byte part[4096];
  for (std::size_t count; (count = std::fread(part, 1, sizeof part, file)) > 0;) read_.insert(read_.end(), part, part + count);
  const bool failed = std::ferror(file) != 0;
  std::fclose(file);
  if (failed) unreadable(path, "an error while reading");
  at_ = read_.data(), size_ = read_.size();
}

MappedFile::~MappedFile() = default;

#endif

}  // namespace lowbit
