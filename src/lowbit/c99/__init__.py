"""Networks as C99 for microcontrollers: one ``.c`` and one ``.h`` without a library, planned as the engine's.

lowbit compile net.circle -o net.c
"""

from lowbit.c99.table import blockers
from lowbit.c99.target import write

__all__ = ["blockers", "write"]
