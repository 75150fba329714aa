"""``labkit create`` and ``rename``: a container that is there and does not run; and its name."""

from __future__ import annotations

import os
import time

from labkit.errors import InfrastructureError, LabkitError
from labkit.runtime import storage
from labkit.runtime.engine.config import bundle, steps
from labkit.runtime.engine.net import networking
from labkit.runtime.engine.record import eventlog, record
from labkit.runtime.engine.record.lease import Lease, take_new
from labkit.runtime.engine.record.options import Options
from labkit.runtime.engine.record.record import Container, State
from labkit.runtime.images import imagestore
from labkit.runtime.images.imagestore import Image
from labkit.runtime.kernel import namespaces
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import replace
from labkit.runtime.std.typing import Any

_ADJECTIVES = "brave calm clever eager gentle happy keen lucky merry quiet quick shy sunny swift tidy witty".split()
_ANIMALS = "ant bear crab crow deer duck finch fox frog gull hare heron lynx mole newt otter owl seal swan wren".split()


def new_container(options: Options, image: Image) -> Container:
    """Its record, not yet written anywhere. The id is 256 random bits, as docker's is."""
    random = os.urandom(32)  # the kernel's, as secrets.token_hex would take it, without the import of 14 modules
    container_id = random.hex()
    words = _ADJECTIVES[random[-1] % len(_ADJECTIVES)], _ANIMALS[random[-2] % len(_ANIMALS)]
    name = options.name or f"{'_'.join(words)}_{container_id[:4]}"
    changes: dict[str, Any] = {"runtime": options.runtime or record.OWN_RUNTIME}
    if changes["runtime"] != record.OWN_RUNTIME:
        from labkit.runtime.engine.config import runtimes  # local: the shim loads our own, while we make mounts

        runtimes.check(options.runtime)
    if options.mounts or image.config.get("Volumes"):
        from labkit.runtime.engine import volumes  # local: most containers have none

        changes["mounts"] = volumes.named(options, image.config.get("Volumes"), container_id)
    if not options.stop_signal and image.config.get("StopSignal"):
        changes["stop_signal"] = image.config["StopSignal"]
    if image.config.get("Labels"):
        changes["labels"] = {**{name: str(text) for name, text in image.config["Labels"].items()}, **options.labels}
    return Container(
        id=container_id,
        name=record.check_name(name),
        image=image.reference,
        image_id=image.id,
        command=bundle.command_of(image, options),
        created=time.time(),
        options=replace(options, **changes),
        storage_driver=storage.choose(options.storage_driver),
    )


def refuse_chroot() -> None:
    """InfrastructureError in a chroot."""
    if namespaces.is_chrooted():
        raise InfrastructureError(
            "labkit does not run in a chroot: pivot_root would leave the real root within the container's reach",
            "start it outside, or enter that root by pivot_root (unshare, systemd-nspawn)",
        )


def create(options: Options) -> Container:
    """Make the container. Whatever fails: nothing is left of it."""
    container = new_container(options, imagestore.find(options.image))
    refuse_chroot()
    lease = take_new(container.id)
    try:
        make(container)
        container.save_state(State())
        lease.release()
    except BaseException:
        take_back(container, lease)
        raise
    return container


def make(container: Container) -> None:
    """What outlives its runs: name, directory, record. It is complete when a state is written, too."""
    record.creation_journal(container.id).run_sections([steps.creation(container)])
    container.save()
    eventlog.note("create", container)


def take_back(container: Container, lease: Lease) -> None:
    """Undo ``make``."""
    with suppress(LabkitError):
        record.unmake(container)
        lease.release()


def rename(container: Container, name: str) -> None:
    """ConflictError where another container has the name; UsageError where it is none.

    The new name is reserved before the old one is free, and both stand in the journal: whenever we die, ``rm`` frees
    what the container has.
    """
    record.check_name(name)
    if name == container.name:
        return
    record.creation_journal(container.id).add([steps.ReserveName(name, container.id)])
    renamed = replace(container, name=name, options=replace(container.options, name=name))
    renamed.save()
    steps.ReserveName(container.name, container.id).undo()
    eventlog.note("rename", renamed, old_name=container.name)
    if container.state().runs:
        _tell_neighbours(container, renamed)


def _tell_neighbours(before: Container, after: Container) -> None:
    """The members of its networks know it by its new name; the run's journal takes that one back, too."""
    journal = record.run_journal(after.id)
    for network in after.endpoints:
        old = networking.name_operations(before, network)
        journal.add([made for made in networking.name_operations(after, network) if made not in old])
