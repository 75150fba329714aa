"""What ``-v``, ``--mount`` and ``--tmpfs`` ask for, in one form; pure.

``{"type": "bind|volume|tmpfs", "source": PATH or VOLUME or "", "target": PLACE, "options": [words of mount(8)],
"make": whether a missing source is made, "fill": whether an empty volume begins with what the image has there}``
"""

from __future__ import annotations

import os
import re

from labkit.errors import UsageError
from labkit.runtime.engine.record.record import check_volume_name
from labkit.runtime.std.typing import Any

PROPAGATION = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
#: Words of ``-v`` that docker has and labkit cannot follow, and why.
_REFUSED = {
    "z": "labkit gives files no SELinux labels",
    "Z": "labkit gives files no SELinux labels",
    "delegated": "it is for machines that share files over a wire",
    "cached": "it is for machines that share files over a wire",
}
_HINT_V = "write [PATH|VOLUME:]PLACE[:OPTIONS], as -v data:/data:ro"
_TMPFS_WORDS = ("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks")
_TMPFS_SWITCHES = (
    "ro rw exec noexec suid nosuid dev nodev sync async atime noatime relatime strictatime diratime nodiratime "
    "tmpcopyup private rprivate shared rshared slave rslave"
).split()


def parse_all(volumes: list[str], mounts: list[str], tmpfs: list[str]) -> list[dict[str, Any]]:
    """All of them. UsageError for one that cannot be, and for two on one place."""
    found = [parse_volume(text) for text in volumes]
    found += [parse_mount(text) for text in mounts]
    found += [parse_tmpfs(text) for text in tmpfs]
    places: set[str] = set()
    for mount in found:
        if mount["target"] in places:
            raise UsageError(f"two mounts have the same place, {mount['target']}", "leave one of them out")
        places.add(mount["target"])
    return found


def parse_volume(text: str) -> dict[str, Any]:
    """``-v``: a path of the host, a volume's name, or a place alone, for a volume without a name."""
    source, target, words = "", text, ""
    if ":" in text:
        source, target, words, *more = [*text.split(":"), ""]
        if len(text.split(":")) > 3 or not source or any(more):
            raise UsageError(f"-v {text} has not the form of a volume", _HINT_V)
        if not target.startswith("/") and source.startswith("/") and _are_options(target):
            source, target, words = "", source, target  # a volume without a name, and options
    if source.startswith(("./", "../")) or source in (".", ".."):
        source = os.path.abspath(source)
    is_bind = source.startswith("/")
    if source and not is_bind:
        check_volume_name(source)
    options, fill = [], True
    for word in words.split(",") if words else ():
        if word in _REFUSED:
            raise UsageError(f"-v {text}: labkit does not support the option '{word}'", _REFUSED[word])
        if word == "nocopy":
            fill = False
        elif word in ("ro", "rw") or word in PROPAGATION:
            options.append(word)
        elif word not in ("consistent", "rbind"):
            raise UsageError(f"-v {text}: '{word}' is no option", f"ro, rw, nocopy, or one of {', '.join(PROPAGATION)}")
    kind = "bind" if is_bind else "volume"
    return _checked(f"-v {text}", kind, source, target, options, make=is_bind, fill=fill)


def _are_options(text: str) -> bool:
    return all(word in ("ro", "rw", "nocopy", *PROPAGATION, *_REFUSED) for word in text.split(","))


def parse_mount(text: str) -> dict[str, Any]:
    """``--mount``: keys and values."""
    fields: dict[str, str] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        name = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}.get(name.lower(), name)
        fields[name] = value
    kind = fields.pop("type", "volume")
    what = f"--mount {text}"
    if kind not in ("bind", "volume", "tmpfs"):
        raise UsageError(f"{what}: there is no type '{kind}'", "one of bind, volume, tmpfs")
    source, target = fields.pop("source", ""), fields.pop("target", "")
    options = ["ro"] if _switch(what, fields, "readonly") else []
    make = fill = False
    if kind == "bind":
        make = _switch(what, fields, "bind-create-src")
        options += _bind_words(what, fields)
        if not source.startswith("/"):
            raise UsageError(f"{what}: source must be an absolute path", "type=bind,source=/data,target=/data")
    elif kind == "tmpfs":
        options += [f"size={_size(what, fields.pop('tmpfs-size'))}"] if "tmpfs-size" in fields else []
        options.append(f"mode={_mode(what, fields.pop('tmpfs-mode', '1777'))}")
        if source:
            raise UsageError(f"{what}: a tmpfs has no source", "leave source out")
    else:
        fill = not _switch(what, fields, "volume-nocopy")
        if source:
            check_volume_name(source)
    if fields:
        raise UsageError(f"{what}: a mount of the type {kind} has no '{next(iter(fields))}'", "see 'labkit run --help'")
    return _checked(what, kind, source, target, options, make=make, fill=fill)


def _bind_words(what: str, fields: dict[str, str]) -> list[str]:
    """What ``bind-propagation``, ``bind-nonrecursive`` and ``bind-recursive`` say, taken out of the fields."""
    words = []
    if "bind-propagation" in fields:
        words.append(fields.pop("bind-propagation"))
        if words[0] not in PROPAGATION:
            raise UsageError(f"{what}: '{words[0]}' is no propagation", f"one of {', '.join(PROPAGATION)}")
    recursive = fields.pop("bind-recursive", "enabled")
    if recursive not in ("enabled", "disabled", "readonly", "writable"):
        raise UsageError(f"{what}: bind-recursive cannot be '{recursive}'", "enabled, disabled, writable, readonly")
    if _switch(what, fields, "bind-nonrecursive") or recursive == "disabled":
        words.append("norecursive")
    if recursive == "readonly":
        words.append("rro")
    return words


def _switch(what: str, fields: dict[str, str], name: str) -> bool:
    value = fields.pop(name, None)
    if value not in (None, "", "true", "1", "false", "0"):
        raise UsageError(f"{what}: {name} is true or false, and not '{value}'", f"as {name}=true")
    return value is not None and value not in ("false", "0")


def _size(what: str, text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,15})([bkmg]?)b?", text.lower())
    if not match:
        raise UsageError(f"{what}: '{text}' is no size", "a number and b, k, m or g, as 16m")
    return int(match[1]) << (10 * "bkmg".index(match[2] or "b"))


def _mode(what: str, text: str) -> str:
    if not re.fullmatch("[0-7]{1,4}", text):
        raise UsageError(f"{what}: '{text}' is no mode", "octal digits, as 1777")
    return text


def parse_tmpfs(text: str) -> dict[str, Any]:
    """``--tmpfs``: a place and options of tmpfs(5). Like docker's: nosuid, nodev and noexec unless the other is
    said.
    """
    target, _, words = text.partition(":")
    options = ["nosuid", "nodev", "noexec"]
    for word in words.split(",") if words else ():
        name, equals, value = word.partition("=")
        if not (name in _TMPFS_WORDS and value if equals else word in _TMPFS_SWITCHES):
            raise UsageError(f"--tmpfs {text}: '{word}' is no option", "as --tmpfs /tmp:size=16m,mode=1777,exec")
        if name == "size" and not value.endswith("%"):
            _size(f"--tmpfs {text}", value)
        if name == "mode":
            _mode(f"--tmpfs {text}", value)
        if name in ("uid", "gid", "nr_inodes", "nr_blocks") and not re.fullmatch("[0-9]{1,10}[kmgKMG]?", value):
            raise UsageError(f"--tmpfs {text}: '{value}' is no number", "as uid=1000")
        opposite = word[2:] if word.startswith("no") else f"no{word}"
        options = [*(other for other in options if other not in (word, opposite)), word]
    return _checked(f"--tmpfs {text}", "tmpfs", "", target, options, make=False, fill=False)


def _checked(
    what: str, kind: str, source: str, target: str, options: list[str], make: bool, fill: bool
) -> dict[str, Any]:
    if not target.startswith("/") or "\0" in target + source or len(target) > 4000 or len(source) > 4000:
        raise UsageError(f"{what[:300]}: the place in the container must be an absolute path", _HINT_V)
    place = os.path.normpath("/" + target.lstrip("/"))
    if place == "/":
        raise UsageError(f"{what[:300]}: nothing can be mounted on the root of the container", "as -v data:/data")
    return {"type": kind, "source": source, "target": place, "options": options, "make": make, "fill": fill}
