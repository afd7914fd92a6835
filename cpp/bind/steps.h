// Steps as Python says them: dataclasses of lowbit/program/steps.py, read field by field into core/steps.h.
#pragma once

#include <nanobind/nanobind.h>

#include "../core/builder.h"

namespace lowbit {

// Adds a step; its arrays must live until that has returned.
std::size_t add_step(Builder& builder, nanobind::handle step);

// {name of a step or a part of one: {field: type}}, to compare with what Python declares.
nanobind::dict step_fields();

}  // namespace lowbit
