// A test runner of forty lines, so that a fresh machine needs no framework: cases register themselves, CHECK counts.
#pragma once

#include <cstdio>
#include <functional>
#include <string>
#include <vector>

namespace lowbit::testing {

struct Case {
  std::string name;
  std::function<void()> run;
};

std::vector<Case>& cases();
void fail(const char* file, int line, const std::string& what);

struct Registered {
  Registered(std::string name, std::function<void()> run) { cases().push_back({std::move(name), std::move(run)}); }
};

}  // namespace lowbit::testing

#define CHECK(condition, what) \
  ((condition) ? void() : lowbit::testing::fail(__FILE__, __LINE__, std::string(#condition) + ": " + (what)))

#define TEST(name)                                                          \
  static void name();                                                       \
  static const lowbit::testing::Registered registered_##name(#name, name);  \
  static void name()
