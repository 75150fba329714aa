from __future__ import annotations

import pytest

from labkit.runtime.kernel import mounts
from labkit.runtime.kernel.mountoptions import parse, recursive_attributes


def test_words_are_sorted_by_who_takes_them() -> None:
    options = parse(["nosuid", "ro", "mode=755", "rslave", "size=64k", "rnoexec", "tmpcopyup"])
    assert options.flags == mounts.MS_NOSUID | mounts.MS_RDONLY
    assert options.data == "mode=755,size=64k"
    assert (options.propagation, options.recursive, options.copies_up) == (["rslave"], ["rnoexec"], True)


@pytest.mark.parametrize(
    ("words", "flags", "cleared"),
    [
        (["ro", "rw"], 0, mounts.MS_RDONLY),
        (["rw", "ro"], mounts.MS_RDONLY, 0),
        (["nosuid", "suid", "nodev", "dev", "noexec", "exec"], 0, 0xE),
        (["rbind", "ro"], mounts.MS_BIND | mounts.MS_REC | mounts.MS_RDONLY, 0),
        (["noatime", "atime", "relatime"], mounts.MS_RELATIME, mounts.MS_NOATIME),
        (["defaults"], 0, 0),
    ],
)
def test_of_two_that_contradict_each_other_the_later_counts(words: list[str], flags: int, cleared: int) -> None:
    options = parse(words)
    assert (options.flags, options.cleared) == (flags, cleared)


def test_how_a_mount_is_made_is_none_of_its_own_flags() -> None:
    assert parse(["rbind", "remount", "nodev"]).own_flags == mounts.MS_NODEV
    assert parse(["bind"]).is_bind
    assert not parse(["ro"]).is_bind


@pytest.mark.parametrize(
    ("words", "to_set", "to_clear"),
    [
        (["rro"], 0x1, 0),
        (["rro", "rrw"], 0, 0x1),
        (["rnosuid", "rnodev", "rnoexec"], 0xE, 0),
        (["rnoatime"], 0x10, 0x70),
        (["rnoatime", "rstrictatime"], 0x20, 0x70),
        (["rrelatime", "rnosymfollow"], 0x200000, 0x70),
    ],
)
def test_attributes_of_a_tree(words: list[str], to_set: int, to_clear: int) -> None:
    """The numbers are MOUNT_ATTR_... of linux/mount.h; those of access times are a field, 0x70."""
    assert recursive_attributes(words) == (to_set, to_clear)
