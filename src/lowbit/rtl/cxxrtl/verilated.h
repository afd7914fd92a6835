// What the harness needs of Verilator's runtime when CXXRTL stands in for it.
#pragma once

struct VerilatedContext {};
