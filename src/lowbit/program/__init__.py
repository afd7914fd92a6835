"""Programs: a graph planned for the engine, as plain data."""

from lowbit.program.planner import plan
from lowbit.program.steps import Epilogue, ProgramPlan, Step

__all__ = ["Epilogue", "ProgramPlan", "Step", "plan"]
