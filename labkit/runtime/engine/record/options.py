"""What ``labkit run`` and ``labkit create`` were asked for: kept with the container, so that a later start does the
same.
"""

from __future__ import annotations

from labkit.runtime.std.dataclasses import dataclass, field
from labkit.runtime.std.typing import Any


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
    """``no``, ``always``, ``unless-stopped`` or ``on-failure[:TIMES]``."""
    auto_remove: bool = False
    cidfile: str = ""
    """Gets its id."""
    runtime: str = ""
    """``labkit-oci`` (in this process), ``runc`` or ``crun``."""
