// AVX alone, of processors from 2011 to 2013: floats, eight lanes at a time. Integers have no such vectors there.
#include "../core/kernel.h"

namespace lowbit::avx {
namespace {
#include "window.inl"
}  // namespace
}  // namespace lowbit::avx

#define LOWBIT_NAMESPACE avx
#include "float_elements.inl"
#include "float_layers.inl"
