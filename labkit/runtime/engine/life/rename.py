"""``labkit rename``: another name, in one step for whoever wants the same one."""

from __future__ import annotations

from labkit.runtime.engine.config.steps import ReserveName
from labkit.runtime.engine.net import networking
from labkit.runtime.engine.record import eventlog, record
from labkit.runtime.engine.record.record import Container
from labkit.runtime.operations.journal import perform
from labkit.runtime.std.dataclasses import replace


def rename(container: Container, name: str) -> None:
    """ConflictError where another container has the name; UsageError where it is none.

    The new name is reserved before the old one is free, and both stand in the journal: whenever we die, ``rm`` frees
    what the container has.
    """
    record.check_name(name)
    if name == container.name:
        return
    journal = record.creation_journal(container.id)
    reservation = ReserveName(name, container.id)
    journal.write(reservation)
    perform(reservation, "host")
    renamed = replace(container, name=name, options=replace(container.options, name=name))
    renamed.save()
    ReserveName(container.name, container.id).undo()
    eventlog.note("rename", renamed, old_name=container.name)
    if container.state().runs:
        _tell_neighbours(container, renamed)


def _tell_neighbours(before: Container, after: Container) -> None:
    """The members of its networks know it by its new name; the run's journal takes that one back, too."""
    journal = record.run_journal(after.id)
    for network in after.endpoints:
        old = networking.name_operations(before, network)
        for operation in networking.name_operations(after, network):
            if operation in old:
                continue
            journal.write(operation)
            perform(operation, "host")
