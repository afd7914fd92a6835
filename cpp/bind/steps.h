// Steps as Python says them: dataclasses of lowbit/program/steps.py, read field by field into core/steps.h.
#pragma once

#include <nanobind/nanobind.h>

#include "../core/loader.h"

namespace lowbit {

// Adds a step; its arrays must live until the program is made.
void add_step(Loader& loader, nanobind::handle step, std::string value, std::string why);

// {name of a step or a part of one: {field: type}}, to compare with what Python declares.
nanobind::dict step_fields();

}  // namespace lowbit
