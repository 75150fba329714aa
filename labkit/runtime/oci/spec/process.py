"""What is executed, and as whom (config.md, "Process")."""

from __future__ import annotations

from labkit.errors import ConfigError
from labkit.runtime.kernel.process import LIMITS
from labkit.runtime.std.dataclasses import dataclass, field
from labkit.runtime.text.document import Reader

#: Where a process keeps its rights (capabilities(7)).
SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")

#: The largest user or group number: 2^32-1 means "none" to the kernel (credentials(7), setresuid(2)).
_LAST_ID = (1 << 32) - 2


@dataclass(frozen=True)
class Process:
    """What is executed (config.md, "Process")."""

    args: list[str]
    env: list[str]
    cwd: str
    uid: int
    gid: int
    additional_gids: list[int]
    capabilities: dict[str, list[str]]
    """Name of one of SETS -> names as CAP_CHOWN, unknown ones among them: who applies them says which he left out."""
    no_new_privileges: bool
    umask: int | None = None
    rlimits: list[tuple[str, int, int]] = field(default_factory=list)
    """(name as RLIMIT_NOFILE, soft, hard)"""
    oom_score_adj: int | None = None
    """From -1000 (never killed for want of memory) to 1000; None leaves it as it is (proc(5))."""
    terminal: bool = False
    console_size: tuple[int, int] = (0, 0)
    """Columns and rows; zeros for the kernel's default."""


def read(reader: Reader) -> Process:
    """The object ``process``, here or in a file for ``exec``."""
    user = reader.child("user", optional=True)
    sets = reader.child("capabilities", optional=True)
    size = reader.child("consoleSize", optional=True)
    process = Process(
        args=reader.strings("args"),
        env=_environment(reader),
        cwd=reader.value("cwd", str),
        uid=_id(user, "uid"),
        gid=_id(user, "gid"),
        additional_gids=user.integers("additionalGids"),
        capabilities={name: sets.strings(name) for name in SETS},
        no_new_privileges=reader.value("noNewPrivileges", bool, False),
        umask=_optional_number(user, "umask", 0, 0o777),
        rlimits=_rlimits(reader),
        oom_score_adj=_optional_number(reader, "oomScoreAdj", -1000, 1000),
        terminal=reader.value("terminal", bool, False),
        console_size=(size.value("width", int, 0), size.value("height", int, 0)),
    )
    if not process.args:
        raise ConfigError("config.json: process.args names no program")
    if not process.cwd.startswith("/") or "\0" in process.cwd:
        raise ConfigError("config.json: process.cwd must be an absolute path")
    if any(gid > _LAST_ID for gid in process.additional_gids):
        raise ConfigError(f"config.json: {user.where('additionalGids')} must hold group numbers up to {_LAST_ID}")
    if not all(0 <= length < 1 << 16 for length in process.console_size):
        raise ConfigError("config.json: process.consoleSize is no size of a terminal")
    reader.refuse("apparmorProfile", "selinuxLabel", "scheduler", "ioPriority", "execCPUAffinity")
    return process


def _environment(reader: Reader) -> list[str]:
    variables = reader.strings("env")
    for variable in variables:
        if "=" not in variable[1:]:
            raise ConfigError(f"config.json: {reader.where('env')} holds {variable!r}, which is not NAME=VALUE")
    return variables


def _id(user: Reader, name: str) -> int:
    number = _optional_number(user, name, 0, _LAST_ID)
    return number or 0


def _optional_number(reader: Reader, name: str, lowest: int, highest: int) -> int | None:
    if reader.get(name) is None:
        return None
    number = reader.value(name, int)
    if not lowest <= number <= highest:
        raise ConfigError(f"config.json: {reader.where(name)} is {number}, and must be from {lowest} to {highest}")
    return number


def _rlimits(reader: Reader) -> list[tuple[str, int, int]]:
    limits: dict[str, tuple[str, int, int]] = {}
    for item in reader.children("rlimits"):
        name = item.value("type", str)
        soft, hard = item.value("soft", int), item.value("hard", int)
        if name not in LIMITS:
            raise ConfigError(f"config.json: {item.where('type')} is {name!r}, which is no resource limit")
        if name in limits:
            raise ConfigError(f"config.json: {reader.where('rlimits')} names {name} twice")
        if not 0 <= soft < 1 << 64 or not 0 <= hard < 1 << 64:
            raise ConfigError(f"config.json: {item.where('soft')} and hard must be from 0 to 2^64-1")
        if soft > hard:
            raise ConfigError(f"config.json: {item.where('soft')} is {soft}, above the hard limit {hard}")
        limits[name] = (name, soft, hard)
    return list(limits.values())
