"""The Operation itself, and its form on disk."""

from __future__ import annotations

from labkit.runtime.std import importlib
from labkit.runtime.std.collections.abc import Callable
from labkit.runtime.std.dataclasses import asdict, dataclass
from labkit.runtime.std.typing import Any

Record = dict[str, Any]


@dataclass(frozen=True)
class Operation:
    """One change of the kernel's state. Subclasses are values whose fields JSON can hold.

    ``describe`` is the equivalent shell command, runnable as it stands; ``do`` does it by system call or netlink;
    ``undo`` takes it back and does nothing where there is nothing to take back, so that it may be called at any time
    and twice.
    """

    #: Whether a program of its own does it, beside what else is to be done: nothing that is done or undone in the
    #: meantime may need it, or be needed by it. See ``begin`` and ``begin_undo``.
    is_apart = False
    #: Whether all that is apart and was begun before it must be there: then it is waited for.
    needs_all = False

    def describe(self) -> str:
        """The equivalent shell command."""
        raise NotImplementedError

    def describe_undo(self) -> str:
        """The command that takes it back; empty where it goes with something else."""
        return ""

    def do(self) -> None:
        """Do it. Raises KernelError (or another LabkitError) where it cannot be done."""
        raise NotImplementedError

    def undo(self) -> None:
        """Take it back, if it was done."""
        raise NotImplementedError

    def begin(self) -> Callable[[], None]:
        """``do`` in two halves, for one that ``is_apart``: what is returned waits for it, and raises its errors."""
        raise NotImplementedError

    def begin_undo(self) -> Callable[[], None]:
        """``undo`` in the same two halves."""
        raise NotImplementedError


class GoesAlong(Operation):
    """One that needs no way back: what it changes goes with a namespace, a group or a mount that comes to its end."""

    def undo(self) -> None:
        """Nothing."""


def to_record(operation: Operation) -> Record:
    """``{"operation": "MODULE:CLASS", field: value, …}``, for the journal."""
    kind = type(operation)
    return {"operation": f"{kind.__module__}:{kind.__qualname__}", **asdict(operation)}


def from_record(record: Record) -> Operation:
    """The operation that a record stands for. Its module is imported now: who undoes need not be who did."""
    fields = dict(record)
    module, _, name = fields.pop("operation").partition(":")
    if not module.startswith("labkit."):
        raise ValueError(f"{module} is no module of labkit")
    chosen = getattr(importlib.import_module(module), name)
    operation = chosen(**{key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()})
    assert isinstance(operation, Operation)
    return operation
