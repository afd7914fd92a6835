// The engine as a WebAssembly module of one thread, for a page: what src/lowbit/browser/page.js calls, all by numbers.
//
// It is compiled without unwinding: what is thrown goes to the page as a text, and the page, whose exception unwinds all of this,
// begins again with a new module.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <typeinfo>

#include "../capi/lowbit.h"
#include "../core/error.h"

#define LOWBIT_EXPORT(name) __attribute__((export_name(name)))
#define LOWBIT_IMPORT(name) __attribute__((import_module("page"), import_name(name)))

extern "C" {

[[noreturn]] LOWBIT_IMPORT("fail") void page_fail(const char* text, std::size_t length);
LOWBIT_IMPORT("visit") void page_visit(const char* name, int type, std::size_t elements, const void* numbers);

// What the C++ runtime calls for a throw. There is room for one exception, as nothing goes on behind it.
void* __cxa_allocate_exception(std::size_t size) noexcept { return std::malloc(size); }

[[noreturn]] void __cxa_throw(void* thrown, std::type_info* type, void (*)(void*)) {
  std::string text = "an exception of an unknown kind";
  if (*type == typeid(lowbit::Error) || *type == typeid(lowbit::TooLarge)) {
    const auto& error = *static_cast<const lowbit::Error*>(thrown);
    text = error.where + ": " + error.what() + "; expected " + error.expected + "; found " + error.found + ". " + error.remedy;
  }
  page_fail(text.data(), text.size());
}

[[noreturn]] void __cxa_rethrow() { std::abort(); }

LOWBIT_EXPORT("room") void* page_room(std::size_t bytes) { return std::malloc(bytes); }
LOWBIT_EXPORT("free") void page_free(void* room) { std::free(room); }

// With `traced`, codes of equal levels stay apart.
LOWBIT_EXPORT("open") lowbit_program* page_open(const void* content, std::size_t size, int traced) {
  lowbit_options options = LOWBIT_OPTIONS;
  options.codes_apart = traced;
  lowbit_program* program = nullptr;
  lowbit_open_memory(content, size, &options, &program);
  return program;
}

LOWBIT_EXPORT("inputs") std::size_t page_inputs(const lowbit_program* program) {
  lowbit_port port;
  lowbit_input(program, 0, &port);
  return port.elements;
}

LOWBIT_EXPORT("outputs") std::size_t page_outputs(const lowbit_program* program) {
  lowbit_port port;
  lowbit_output(program, 0, &port);
  return port.elements;
}

// One input and one output of float32, `rows` samples, or 1 where the network counts none.
LOWBIT_EXPORT("run") void page_run(lowbit_program* program, std::size_t rows, const float* x, float* y) {
  const void* inputs[] = {x};
  void* outputs[] = {y};
  lowbit_run(program, rows, inputs, outputs);
}

// Shows the page the result of every step of one sample.
LOWBIT_EXPORT("trace") void page_trace(lowbit_program* program, const float* x) {
  const void* inputs[] = {x};
  lowbit_trace(
      program, 1, inputs,
      [](void*, const char* name, lowbit_type type, std::size_t elements, const void* numbers) { page_visit(name, type, elements, numbers); },
      nullptr);
}

}  // extern "C"
