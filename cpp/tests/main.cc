#include <exception>

#include "check.h"

namespace lowbit::testing {
namespace {

int failures = 0;
constexpr int kShown = 20;

}  // namespace

std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

void fail(const char* file, int line, const std::string& what) {
  if (++failures <= kShown) std::printf("  %s:%d: %s\n", file, line, what.c_str());
}

}  // namespace lowbit::testing

// Runs all cases, or those whose names hold the first argument.
int main(int count, char** words) {
  using namespace lowbit::testing;
  const std::string asked = count > 1 ? words[1] : "";
  std::size_t ran = 0;
  for (const Case& test : cases()) {
    if (test.name.find(asked) == std::string::npos) continue;
    ++ran;
    const int before = failures;
    try {
      test.run();
    } catch (const std::exception& error) {
      fail(test.name.c_str(), 0, error.what());
    }
    std::printf("%s %s\n", failures == before ? "ok    " : "FAILED", test.name.c_str());
  }
  std::printf("%zu cases, %d failures\n", ran, failures);
  return failures == 0 ? 0 : 1;
}
