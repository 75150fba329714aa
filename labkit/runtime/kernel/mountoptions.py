"""mount(8)'s words as the kernel takes them: flags of mount(2), propagation, attributes, the file system's own.

The words are those that runc knows (`runc features`), and mount(8) documents them.
"""

from __future__ import annotations

from labkit.runtime.kernel import mounts
from labkit.runtime.std.dataclasses import dataclass, field

#: word -> the flag of mount(2) that it sets, and the word that takes it back, if there is one.
_FLAGS = {
    "acl": (0x10000, "noacl"),  # MS_POSIXACL
    "bind": (mounts.MS_BIND, ""),
    "defaults": (0, ""),
    "dirsync": (0x80, ""),
    "iversion": (0x800000, "noiversion"),
    "lazytime": (0x2000000, "nolazytime"),
    "mand": (0x40, "nomand"),
    "noatime": (mounts.MS_NOATIME, "atime"),
    "nodev": (mounts.MS_NODEV, "dev"),
    "nodiratime": (mounts.MS_NODIRATIME, "diratime"),
    "noexec": (mounts.MS_NOEXEC, "exec"),
    "nosuid": (mounts.MS_NOSUID, "suid"),
    "nosymfollow": (0x100, "symfollow"),
    "rbind": (mounts.MS_BIND | mounts.MS_REC, ""),
    "relatime": (mounts.MS_RELATIME, "norelatime"),
    "remount": (mounts.MS_REMOUNT, ""),
    "ro": (mounts.MS_RDONLY, "rw"),
    "silent": (0x8000, "loud"),
    "strictatime": (mounts.MS_STRICTATIME, "nostrictatime"),
    "sync": (0x10, "async"),  # MS_SYNCHRONOUS
}
_SETS = {word: flag for word, (flag, _) in _FLAGS.items()}
_CLEARS = {word: flag for flag, word in _FLAGS.values() if word}

#: How later mounts travel (mount_namespaces(7)): each is a call of mount(2) of its own.
PROPAGATION = {
    "private": mounts.MS_PRIVATE,
    "rprivate": mounts.MS_PRIVATE | mounts.MS_REC,
    "shared": mounts.MS_SHARED,
    "rshared": mounts.MS_SHARED | mounts.MS_REC,
    "slave": mounts.MS_SLAVE,
    "rslave": mounts.MS_SLAVE | mounts.MS_REC,
    "unbindable": mounts.MS_UNBINDABLE,
    "runbindable": mounts.MS_UNBINDABLE | mounts.MS_REC,
}

# MOUNT_ATTR_… of mount_setattr(2). Access times are a field of three values, of which RELATIME is 0.
_ATTR_ATIME = 0x70
_ATTR_NOATIME = 0x10
_ATTR_STRICTATIME = 0x20
_ATTR_NODIRATIME = 0x80
_ATTR_NOSYMFOLLOW = 0x200000

#: word -> (attributes to set, attributes to clear), for a mount and all that are below it.
_RECURSIVE = {
    "rro": (mounts.MS_RDONLY, 0),
    "rrw": (0, mounts.MS_RDONLY),
    "rnosuid": (mounts.MS_NOSUID, 0),
    "rsuid": (0, mounts.MS_NOSUID),
    "rnodev": (mounts.MS_NODEV, 0),
    "rdev": (0, mounts.MS_NODEV),
    "rnoexec": (mounts.MS_NOEXEC, 0),
    "rexec": (0, mounts.MS_NOEXEC),
    "rnodiratime": (_ATTR_NODIRATIME, 0),
    "rdiratime": (0, _ATTR_NODIRATIME),
    "rrelatime": (0, _ATTR_ATIME),
    "rnorelatime": (_ATTR_STRICTATIME, _ATTR_ATIME),
    "rnoatime": (_ATTR_NOATIME, _ATTR_ATIME),
    "ratime": (0, _ATTR_ATIME),
    "rstrictatime": (_ATTR_STRICTATIME, _ATTR_ATIME),
    "rnostrictatime": (0, _ATTR_ATIME),
    "rnosymfollow": (_ATTR_NOSYMFOLLOW, 0),
    "rsymfollow": (0, _ATTR_NOSYMFOLLOW),
}

COPY_UP = "tmpcopyup"
ID_MAPS = ("idmap", "ridmap")
#: The specification's words, of which neither the kernel nor mount(8) knows.
CALLERS = (COPY_UP, *ID_MAPS)
#: Every word that is not the file system's own.
WORDS = frozenset((*_SETS, *_CLEARS, *PROPAGATION, *_RECURSIVE, *CALLERS))


@dataclass(frozen=True)
class MountOptions:
    """A mount's options, sorted by who takes them."""

    flags: int = 0
    """MS_… of mount(2)."""
    cleared: int = 0
    """MS_… that were named in order to be off."""
    data: str = ""
    """What is the file system's own, comma-separated."""
    propagation: list[str] = field(default_factory=list)
    recursive: list[str] = field(default_factory=list)
    copies_up: bool = False
    id_map: str = ""
    """``idmap``, ``ridmap`` (for all mounts below it, too), or nothing."""

    @property
    def is_bind(self) -> bool:
        """Whether it is a directory or file at a second place."""
        return bool(self.flags & mounts.MS_BIND)

    @property
    def own_flags(self) -> int:
        """Those of one mount point: without how it is made."""
        return self.flags & ~(mounts.MS_BIND | mounts.MS_REC | mounts.MS_REMOUNT)


def parse(words: list[str] | tuple[str, ...]) -> MountOptions:
    """Of two words that contradict each other the later one counts."""
    flags = cleared = 0
    id_map = ""
    data, propagation, recursive = [], [], []
    for word in words:
        if word in _SETS:
            flags |= _SETS[word]
            cleared &= ~_SETS[word]
        elif word in _CLEARS:
            flags &= ~_CLEARS[word]
            cleared |= _CLEARS[word]
        elif word in PROPAGATION:
            propagation.append(word)
        elif word in _RECURSIVE:
            recursive.append(word)
        elif word in ID_MAPS:
            id_map = word
        elif word != COPY_UP:
            data.append(word)
    return MountOptions(flags, cleared, ",".join(data), propagation, recursive, COPY_UP in words, id_map)


def recursive_attributes(words: list[str]) -> tuple[int, int]:
    """The words together as mount_setattr(2) takes them: attributes to set, and to clear."""
    to_set = to_clear = 0
    for word in words:
        sets, clears = _RECURSIVE[word]
        to_set = to_set & ~clears | sets
        to_clear = to_clear & ~sets | clears
    if to_clear & _ATTR_ATIME or to_set & _ATTR_ATIME:
        to_clear |= _ATTR_ATIME  # the field is written as a whole
    return to_set, to_clear
