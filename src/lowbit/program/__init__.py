"""Programs: a graph planned for the engine, as plain data."""

from lowbit.program.planner import blockers, plan
from lowbit.program.refusals import REMEDY, read_inputs
from lowbit.program.steps import ProgramPlan, Result, Step

__all__ = ["REMEDY", "ProgramPlan", "Result", "Step", "blockers", "plan", "read_inputs"]
