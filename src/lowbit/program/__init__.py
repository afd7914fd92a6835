"""Programs: a graph planned for the engine, as plain data."""

from lowbit.program.planner import blockers, plan
from lowbit.program.refusals import REMEDY, read_inputs
from lowbit.program.steps import Epilogue, ProgramPlan, Step, constant_bytes

__all__ = ["REMEDY", "Epilogue", "ProgramPlan", "Step", "blockers", "constant_bytes", "plan", "read_inputs"]
