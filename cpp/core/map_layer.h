// What layers on maps share.
#pragma once

#include <vector>

#include "finish.h"
#include "program.h"
#include "window.h"

namespace lowbit {

// Checks that a window over a map, with so many weights a channel, gives the output.
void check_shape(const char* where, const Value& input, const Value& output, const WindowSpec& window,
                 const WindowPlan& plan, std::size_t weights);

// One ending for all regions, or one for each where the specification tells them apart, or `apart` says so. wide: see Finish.
std::vector<Finish> endings_of(const char* where, std::size_t channels, std::size_t regions, const EpilogueSpec& spec,
                               bool apart, bool wide = false);

}  // namespace lowbit
