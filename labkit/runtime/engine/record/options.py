"""What ``labkit run`` and ``create`` were asked for, which is kept with the container, so that a later start does the
same; and what ``labkit exec`` is asked for.
"""

from __future__ import annotations

import os

from labkit.errors import UsageError
from labkit.runtime.std.dataclasses import dataclass, field
from labkit.runtime.std.typing import Any

_FIRST_DELAY = 0.1
_LONGEST_DELAY = 60.0
_STEADY = 10.0
"""Seconds of life after which the next end counts as the first one."""


@dataclass(frozen=True)
class Options:
    """Checked, and as JSON can hold it. An empty value is one that was not given."""

    image: str
    command: list[str] = field(default_factory=list)
    name: str = ""

    # its process
    entrypoint: list[str] | None = None
    """In place of the image's; an empty list removes it."""
    env: list[str] = field(default_factory=list)
    """See ``variables``."""
    user: str = ""
    """``NAME|UID[:GROUP|GID]``, in place of the image's."""
    groups: list[str] = field(default_factory=list)
    workdir: str = ""
    interactive: bool = False
    """Standard input is open."""
    tty: bool = False
    init: bool = False
    """A small first process that reaps and passes signals on."""
    stop_signal: str = ""
    stop_timeout: float | None = None
    """Seconds between it and SIGKILL; below zero for ever."""
    ulimits: list[str] = field(default_factory=list)
    """``RLIMIT_NOFILE=SOFT:HARD``."""
    labels: dict[str, str] = field(default_factory=dict)

    # its rights
    cap_add: list[str] = field(default_factory=list)
    cap_drop: list[str] = field(default_factory=list)
    security: list[str] = field(default_factory=list)
    """``no-new-privileges``, ``seccomp=unconfined``, ``mask=PATH``, ``unmask=PATH``."""
    seccomp: dict[str, Any] = field(default_factory=dict)
    """A profile in the specification's form; empty for the default one."""
    privileged: bool = False
    devices: list[str] = field(default_factory=list)
    """``HOST:CONTAINER:rwm``."""
    device_rules: list[str] = field(default_factory=list)
    """``c 10:229 rwm``."""
    sysctls: dict[str, str] = field(default_factory=dict)
    resources: dict[str, Any] = field(default_factory=dict)
    """Limits, in the specification's form."""
    oom_score_adj: int | None = None

    # its files
    mounts: list[dict[str, Any]] = field(default_factory=list)
    """What ``-v``, ``--mount`` and ``--tmpfs`` ask for, in one form: see mountflags.py."""
    read_only: bool = False
    shm_size: int = 64 << 20
    """Bytes of /dev/shm."""
    storage_driver: str = ""
    """The first that the kernel has, where none is named."""

    # its namespaces: ``host``, ``container:NAME``, or empty for a new one; ipc may be ``shareable`` or ``none``, too
    pid: str = ""
    ipc: str = ""
    uts: str = ""
    userns: str = ""
    """``private`` for one of its own, with the machine's numbers."""
    cgroupns: str = ""

    # its network
    network: str = "bridge"
    """``bridge``, ``none``, ``host``, ``container:NAME`` or a network's name."""
    network_aliases: list[str] = field(default_factory=list)
    address: str = ""
    """The one wished for."""
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Further networks that it was connected to: name -> ``address`` and ``aliases``, as far as they were given."""
    publish: list[str] = field(default_factory=list)
    """Ports, as ``-p`` writes them."""
    hostname: str = ""
    add_hosts: list[str] = field(default_factory=list)
    """``NAME:ADDRESS``."""
    dns: list[str] = field(default_factory=list)
    dns_search: list[str] = field(default_factory=list)

    # its log
    log_driver: str = "json-file"
    """``json-file``, ``local`` (the same here) or ``none``."""
    log_options: dict[str, str] = field(default_factory=dict)
    """As they were given: see shim/logoptions.py."""

    # its life
    restart: str = ""
    """A ``RestartPolicy``."""
    auto_remove: bool = False
    cidfile: str = ""
    """Gets its id."""
    runtime: str = ""
    """``labkit-oci`` (in this process), ``runc`` or ``crun``."""


class RestartPolicy:
    """Whether a container that has ended is started again, and after how long, as docker has it.

    ``no``, ``always``, ``unless-stopped`` or ``on-failure[:TIMES]``; UsageError for anything else.
    """

    def __init__(self, text: str) -> None:
        name, colon, times = text.partition(":")
        if name not in ("", "no", "always", "unless-stopped", "on-failure"):
            raise UsageError(
                f"there is no restart policy '{text}'", "one of no, always, unless-stopped, on-failure and on-failure:5"
            )
        if colon and not (name == "on-failure" and times.isascii() and times.isdigit() and len(times) < 6):
            raise UsageError(f"the restart policy '{text}' cannot be meant", "a number of times as in on-failure:5")
        self.name = name or "no"
        self.most = int(times or 0)
        """How many times in a row, 0 for any number."""
        self.times = 0

    def wants(self, code: int, stopped_by_hand: bool) -> bool:
        """Whether the container is to run again after it has ended with that status."""
        if self.name == "no" or stopped_by_hand:
            return False
        return self.name != "on-failure" or code != 0

    def after(self, code: int, seconds: float, stopped_by_hand: bool) -> float | None:
        """Seconds to wait before it is started again, each time twice as long as before; None to let it be."""
        if seconds >= _STEADY:
            self.times = 0
        if not self.wants(code, stopped_by_hand) or (self.most and self.times >= self.most):
            return None
        delay = min(_FIRST_DELAY * (1 << self.times), _LONGEST_DELAY)
        self.times += 1
        return delay


@dataclass(frozen=True)
class ExecRequest:
    """What is to run beside a container's first process."""

    args: list[str]
    env: list[str] = field(default_factory=list)
    workdir: str = ""
    user: str = ""
    interactive: bool = False
    tty: bool = False
    detach: bool = False
    privileged: bool = False


def variables(given: list[str]) -> list[str]:
    """``-e`` as docker reads it: NAME=VALUE, or NAME alone for our own value of it. Where we have none it stays NAME:
    the variable is taken away that the image, or the container, has of this name.
    """
    found = []
    for entry in given:
        name, equals, _ = entry.partition("=")
        if not name or "\0" in entry:
            raise UsageError(f"-e '{entry}' names no variable", "write NAME=VALUE")
        found.append(f"{name}={os.environ[name]}" if not equals and name in os.environ else entry)
    return found


def set_variable(variables: dict[str, str], entry: str) -> None:
    """What one of ``variables`` asks for."""
    name, equals, value = entry.partition("=")
    if equals:
        variables[name] = value
    else:
        variables.pop(name, None)
