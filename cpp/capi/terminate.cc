// What libstdc++ calls before it ends a process, of the shared library, which brings it along: its own takes the names of
// types apart, with 50 KB of code.
#include <cstdlib>
#include <exception>

#if defined(__GLIBCXX__)
namespace __gnu_cxx {
void __verbose_terminate_handler() { std::abort(); }
}  // namespace __gnu_cxx
#endif
