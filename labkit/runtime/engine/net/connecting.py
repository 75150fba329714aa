"""A network more, or one less, for a container that is there.

For one that does not run it is noted, and the next start does it. A running one gets another cable. What that consists
of goes into the journal of its run, so that it ends with the run, whoever dies meanwhile; but if it fails, only this
much is taken back and not the whole run.
"""

from __future__ import annotations

import time

from labkit import log
from labkit.errors import ConflictError, LabkitError
from labkit.runtime.engine.net import networking
from labkit.runtime.engine.record import lease, record
from labkit.runtime.engine.record.options import Options
from labkit.runtime.engine.record.record import Container
from labkit.runtime.network import definitions, reservations
from labkit.runtime.network.links import AddDefaultRoute, AddVeth
from labkit.runtime.network.model import DEFAULT, Network
from labkit.runtime.operations import Journal, Operation, Section
from labkit.runtime.operations.base import to_record
from labkit.runtime.operations.journal import perform
from labkit.runtime.std import json
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import replace
from labkit.runtime.std.typing import Any

#: One connection at a time: a container's record is read, changed and written.
_LOCK = ".connections"


def connect(container_id: str, name: str, address: str = "", aliases: list[str] | None = None) -> None:
    """Join a container to a network, at ``address`` if one is given.

    ConflictError where it is in that network, has none of its own, or is just starting; UsageError for an address that
    is not of the network, or for aliases where there are no names.
    """
    network = definitions.find(name)
    wish: dict[str, Any] = {"address": address, "aliases": list(aliases or [])}
    networking.check_wish(network, address, wish["aliases"])
    with reservations.locked(_LOCK):
        container = _found(container_id)
        if network.name in networking.wishes(container):
            raise ConflictError(f"the container {container.name} is in {network.name} already")
        running = _is_running(container)
        container = replace(container, options=_with(container.options, network.name, wish))
        if running:
            _plug_in(container, network, wish)
        else:
            container.save()


def disconnect(container_id: str, name: str) -> None:
    """Take a container out of a network.

    ConflictError where it is not in that network, or where its published ports lead through it at this moment.
    """
    name = DEFAULT.name if name == "bridge" else name
    with reservations.locked(_LOCK):
        container = _found(container_id)
        if name not in networking.wishes(container):
            names = ", ".join(networking.wishes(container)) or "none"
            raise ConflictError(f"the container {container.name} is not in {name}", f"its networks: {names}")
        without = replace(container, options=_without(container.options, name))
        if _is_running(container) and name in container.endpoints:
            if container.ports and name == next(iter(container.endpoints)):
                raise ConflictError(
                    f"the published ports of {container.name} lead through {name}", f"labkit stop {container.name}"
                )
            rest = {other: endpoint for other, endpoint in container.endpoints.items() if other != name}
            without = replace(without, endpoints=rest)
            _pull_out(container, without, name)
        without.save()


def _found(container_id: str) -> Container:
    container = record.find(container_id)
    if not networking.has_sandbox(container):
        raise ConflictError(
            f"the container {container.name} has no network of its own (--network {container.network})",
            "make it with --network bridge or NETWORK",
        )
    return container


def _is_running(container: Container) -> bool:
    """ConflictError while another command starts it: that one has read its record."""
    if container.state().lives:
        return True
    if lease.is_held(container.id):
        raise ConflictError(f"another command is at work on {container.name}", "try again in a moment")
    return False


def _with(options: Options, name: str, wish: dict[str, Any]) -> Options:
    if options.network:
        return replace(options, networks={**options.networks, name: wish})
    mode = "bridge" if name == DEFAULT.name else name
    return replace(options, network=mode, address=wish["address"], network_aliases=wish["aliases"])


def _without(options: Options, name: str) -> Options:
    rest = dict(options.networks)
    if name in rest:
        del rest[name]
        return replace(options, networks=rest)
    alone = replace(options, network="", address="", network_aliases=[], networks={})
    for other, wish in rest.items():  # the first of them takes its place
        alone = _with(alone, other, wish)
    return alone


def _plug_in(container: Container, network: Network, wish: dict[str, Any]) -> None:
    journal = record.run_journal(container.id)
    done: list[Operation] = []

    def do(operations: list[Operation]) -> None:
        done.extend(operations)  # an undo finds nothing to do for those that were not begun
        journal.add(operations)

    def join(sections: list[Section]) -> None:
        for section in sections:
            (section.journal.run if section.journal else do)(section.operations)

    try:
        address, _ = reservations.join(network, container.id, [], join, wish["address"])
        made = networking.endpoint_record(container, _free_number(container), address, wish)
        container = replace(container, endpoints={**container.endpoints, network.name: made})
        do(networking.endpoint(container, network.name).operations())
        do(networking.name_operations(container, network.name))
        if not _holds(journal, done[-1]):
            raise ConflictError(f"the container {container.name} has just ended", "see 'labkit ps -a'")
        container.save()
    except BaseException:
        for operation in reversed(done):
            with suppress(LabkitError):
                operation.undo()
        raise


def _holds(journal: Journal, operation: Operation) -> bool:
    """Whether whoever takes the run back will find it: the journal may have been read and removed just before."""
    return json.dumps(to_record(operation)) in journal.lines()


def _free_number(container: Container) -> int:
    used = {endpoint["device"] for endpoint in container.endpoints.values()}
    return next(number for number in range(len(used) + 1) if f"eth{number}" not in used)


def _pull_out(container: Container, without: Container, name: str) -> None:
    """Its lines stay in the journal: an undo finds nothing to do where it was done."""
    endpoint = container.endpoints[name]
    for operation in networking.name_operations(container, name):
        _undo(operation, operation.describe_undo())
    for operation in reversed(networking.endpoint(container, name).operations()):
        _undo(operation, f"ip link delete {operation.name}" if isinstance(operation, AddVeth) else "")
    reserved = reservations.reservation(name, endpoint["address"], container.id)
    _undo(reserved, reserved.describe_undo())
    following = networking.way_out(without)
    if following and following != networking.way_out(container):
        made = networking.endpoint(without, following).operations()
        route = [operation for operation in made if isinstance(operation, AddDefaultRoute)]
        for operation in route:
            perform(operation, "host")  # it goes with its device, so that no journal need know it


def _undo(operation: Operation, command: str) -> None:
    started = time.monotonic()
    operation.undo()
    if command:
        log.emit("operation", where="host", command=command, seconds=time.monotonic() - started)
