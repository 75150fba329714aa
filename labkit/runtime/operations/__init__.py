"""Operations: everything that changes the kernel's state says what it does, does it, and can take it back.

From these three methods come explanation (``--explain``), dry runs, rollback and recovery; journal.py holds the last
two.
"""

from labkit.runtime.operations.base import GoesAlong, Operation, from_record, to_record
from labkit.runtime.operations.journal import Journal, Section

__all__ = ["GoesAlong", "Journal", "Operation", "Section", "from_record", "to_record"]
