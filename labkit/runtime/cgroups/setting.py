"""A limit as the kernel takes it: a value for one of a group's files."""

from __future__ import annotations

from labkit.runtime.std.dataclasses import dataclass


@dataclass(frozen=True)
class Setting:
    """A value for one of the group's files."""

    name: str
    value: str
    asked: str = ""
    """The specification's word for it, for errors."""
    other: tuple[str, str] | None = None
    """Another file and value, where this kernel has not the first."""
    optional: bool = False
    """Whether it may be left out where there is no such file: what it asks for is so anyway."""


#: Controller -> its settings, in the order in which they are written.
Settings = dict[str, list[Setting]]


def add(settings: Settings, controller: str, setting: Setting) -> None:
    """Put one behind the others of its controller."""
    settings.setdefault(controller, []).append(setting)
