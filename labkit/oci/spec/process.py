"""What is executed, and as whom (config.md, "Process")."""

from __future__ import annotations

from labkit.document import Reader
from labkit.errors import ConfigError
from labkit.kernel import capabilities
from labkit.value import Value


class Process(Value):
    """What is executed (config.md, "Process")."""

    args: list[str]
    env: list[str]
    cwd: str
    uid: int
    gid: int
    additional_gids: list[int]
    capabilities: dict[str, list[str]]
    """Set name (bounding, effective, inheritable, permitted, ambient) -> names as CAP_CHOWN."""
    no_new_privileges: bool


def read(reader: Reader) -> Process:
    """The object ``process``, here or in a file for ``exec``."""
    user = reader.child("user", optional=True)
    sets = reader.child("capabilities", optional=True)
    names = {name: sets.strings(name) for name in ("bounding", "effective", "inheritable", "permitted", "ambient")}
    for name, members in names.items():
        try:
            capabilities.numbers(members)
        except ValueError as error:
            raise ConfigError(f"config.json: {sets.where(name)} names {error}, which is no capability") from None
    reader.value("terminal", bool, False)
    process = Process(
        args=reader.strings("args"),
        env=reader.strings("env"),
        cwd=reader.value("cwd", str),
        uid=user.value("uid", int, 0),
        gid=user.value("gid", int, 0),
        additional_gids=user.integers("additionalGids"),
        capabilities=names,
        no_new_privileges=reader.value("noNewPrivileges", bool, False),
    )
    if not process.args:
        raise ConfigError("config.json: process.args names no program")
    if not process.cwd.startswith("/"):
        raise ConfigError("config.json: process.cwd must be an absolute path")
    for other in (reader, user, sets):
        other.refuse_others()
    return process
