"""Programs: a graph planned for the engine, as plain data."""

from lowbit.program.open_lengths import example_of, lengths_to_fix
from lowbit.program.planner import blockers, plan
from lowbit.program.refusals import EXACT, REMEDY, read_inputs
from lowbit.program.samples import is_open
from lowbit.program.steps import CodeTable, Port, ProgramPlan, Result, Step

__all__ = [
    "EXACT",
    "REMEDY",
    "CodeTable",
    "Port",
    "ProgramPlan",
    "Result",
    "Step",
    "blockers",
    "example_of",
    "is_open",
    "lengths_to_fix",
    "plan",
    "read_inputs",
]
