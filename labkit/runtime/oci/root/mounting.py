"""Mounting inside the root file system: the specification's mounts, each one operation (config.md, "Mounts").

Like all of rootfs.py they are made on what is open, never on a name.
"""

from __future__ import annotations

import errno
import os
import stat

from labkit.errors import ConfigError, KernelError, NotFoundError
from labkit.runtime.kernel import mountoptions, mounts, rootdir
from labkit.runtime.kernel.blocks import kept_open
from labkit.runtime.kernel.rootdir import resolve
from labkit.runtime.oci.root.rootfs import Inside, by_number, found, reopened
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.std.shlex import quote

#: Single files of /proc that may be replaced, as lxcfs does (runc's list). All else in there is the kernel's alone.
_REPLACEABLE = {
    f"/proc/{name}"
    for name in (
        "cpuinfo diskstats loadavg meminfo net/dev slabinfo stat swaps sys/crypto/fips_enabled sys/kernel/ns_last_pid "
        "uptime"
    ).split()
}


@dataclass(frozen=True)
class MountInside(Inside):
    """A file system; ``options`` in mount(8)'s words. Its directory is made where it is missing."""

    source: str
    kind: str
    options: tuple[str, ...] = ()

    def describe(self) -> str:
        """As mkdir(1) and mount(8)."""
        options = mountoptions.parse(self.options)
        if options.copies_up:
            from labkit.runtime.oci.root import copyup  # local: few ask for it

            return copyup.describe(self.shown(), _words(self.options, (*self._mode(),)), options)
        words = _words(self.options, self._mode())
        given = f" -o {quote(words)}" if words else ""
        target = self.shown()
        mount = f"mount -t {quote(self.kind)}{given} {quote(self.source or 'none')} {target}"
        return f"mkdir -p {target} && {mount}{_afterwards(target, options)}"

    def do(self) -> None:
        """mount(2) on the opened directory, then what is a call of its own."""
        options = mountoptions.parse(self.options)
        # A link would be an image's way to a /proc of its own making, for whoever writes to /proc later.
        follow = self.kind not in ("proc", "sysfs")
        mode = self._mode()
        with kept_open(self._directory(follow)) as target:
            _refuse_in_proc(self.rootfs, target, self.path, from_proc=self.kind == "proc")
            data = ",".join([*mode, *([options.data] if options.data else [])])
            mounts.mount(self.source, by_number(target), self.kind, options.flags, data, shown=self.path)
            if options.copies_up:
                from labkit.runtime.oci.root import copyup  # local: few ask for it

                with reopened(self.rootfs, self.path, target) as top:
                    copyup.copy(target, top, self.path)
            _finish(self, target, options)

    def _directory(self, follow: bool) -> int:
        try:
            return rootdir.directory(self.rootfs, self.path, follow)
        except KernelError as error:
            if follow or error.errno != errno.ENOTDIR:
                raise
            message = f'filesystem "{self.kind}" must be mounted on ordinary directory, and {self.path} is none'
            raise ConfigError(message) from None

    def _mode(self) -> tuple[str, ...]:
        """A tmpfs has the mode of the directory that it covers, unless one is given.

        Where that is yet to be made it is the kernel's, 1777, as with runc and crun: nobody has said who may write.
        """
        if self.kind != "tmpfs" or any(word.startswith("mode=") for word in self.options):
            return ()
        with found(self.rootfs, self.path) as covered:
            return () if covered is None else (f"mode={stat.S_IMODE(os.fstat(covered).st_mode):04o}",)


@dataclass(frozen=True)
class BindInside(Inside):
    """A directory or file of the host at a place in the container; ``options`` in mount(8)'s words.

    Flags need a remount: mount(2) ignores them when it binds.
    """

    source: str
    options: tuple[str, ...] = ("bind",)
    copy: int = -1
    """A descriptor of a copy of the source (sources.py), for where that is out of reach; -1 for none."""

    def describe(self) -> str:
        """As mount(8), which makes the same calls."""
        options, target = mountoptions.parse(self.options), self.shown()
        make = f"mkdir -p {target}"
        if not os.path.isdir(self.source):
            make = f"mkdir -p {quote(os.path.dirname(resolve(self.rootfs, self.path)))} && touch {target}"
            if not os.path.exists(self.source):  # a plan: it is made before this, and only then it is known as what
                make = f"if [ -d {quote(self.source)} ]; then mkdir -p {target}; else {make}; fi"
        mount = f"mount -o {quote(self.shown_options())} {quote(self.source)} {target}"
        return f"{make} && {mount}{_afterwards(target, options)}"

    def do(self) -> None:
        """Bind what is open to what is open, then the flags, then what is a call of its own."""
        options = mountoptions.parse(self.options)
        recursive = options.flags & mounts.MS_REC
        source, copy = self.opened()
        with kept_open(source):
            make = rootdir.directory if stat.S_ISDIR(os.fstat(source).st_mode) else rootdir.file
            with kept_open(make(self.rootfs, self.path)) as target:
                _refuse_in_proc(self.rootfs, target, self.path, _is_proc(source))
                if copy is None:
                    bind = mounts.MS_BIND | recursive
                    mounts.mount(by_number(source), by_number(target), flags=bind, shown=self.path)
                else:
                    mounts.move_onto(copy, target, self.path)
                _finish(self, target, options, flags=options.own_flags, cleared=options.cleared)

    def shown_options(self) -> str:
        """For mount(8)'s ``-o``, without what is a file system's own: mount(2) ignores that when it binds."""
        ignored = mountoptions.parse(self.options).data.split(",")
        return _words(tuple(word for word in self.options if word not in ignored))

    def opened(self) -> tuple[int, int | None]:
        """Descriptors of what is to be bound, and of its copy, where it is the copy that is to be moved."""
        try:
            return os.open(self.source, os.O_PATH | os.O_CLOEXEC), None
        except OSError as error:
            if error.errno != errno.EACCES or self.copy < 0:
                raise NotFoundError(f"{self.source}, to be mounted on {self.path}: {error.strerror}") from error
            return os.dup(self.copy), self.copy


@dataclass(frozen=True)
class RemountInside(Inside):
    """Other flags for a mount that is there."""

    options: tuple[str, ...] = ()

    def describe(self) -> str:
        """As mount(8), which without a source would add the flags to those that are there."""
        words = [word for word in self.options if word not in ("bind", "rbind", "remount")]
        return f"mount -o {quote(','.join(('remount', 'bind', *words)))} none {self.shown()}"

    def do(self) -> None:
        """mount(2) with MS_REMOUNT."""
        options = mountoptions.parse(self.options)
        with found(self.rootfs, self.path) as target:
            if target is None:
                raise KernelError(f"nothing is mounted on {self.path}", errno=errno.ENOENT)
            mounts.remount(by_number(target), options.own_flags, options.cleared, self.path)
            _finish(self, target, options)


def _finish(
    operation: Inside, below: int, options: mountoptions.MountOptions, flags: int = 0, cleared: int = 0
) -> None:
    """On the mount that now lies on ``below``: its own flags, how later mounts travel, the attributes of its tree."""
    if not (flags or cleared or options.propagation or options.recursive):
        return
    with reopened(operation.rootfs, operation.path, below) as top:
        place = by_number(top)
        if flags or cleared:
            mounts.remount(place, flags, cleared, operation.path)
        for word in options.propagation:
            mounts.mount("", place, flags=mountoptions.PROPAGATION[word], shown=operation.path)
        if options.recursive:
            _set_recursively(top, options.recursive, operation.path)


def _set_recursively(top: int, words: list[str], path: str) -> None:
    try:
        mounts.set_recursively(top, *mountoptions.recursive_attributes(words), path)
    except KernelError as error:
        if error.errno != errno.ENOSYS:
            raise
        raise KernelError(
            f"the option {words[0]} of the mount on {path} needs mount_setattr(2), which came with Linux 5.12",
            f"take it out, or write {words[0][1:]}, for this one mount",
            errno.ENOSYS,
        ) from None


def _refuse_in_proc(rootfs: str, target: int, path: str, from_proc: bool) -> None:
    """Nothing may lie on /proc but a proc file system, and nothing in it: labels and settings are written there."""
    inside = rootdir.path_inside(rootfs, target)
    if inside == "/proc" and not from_proc:
        raise ConfigError(f'"{path}" cannot be mounted because it is not of type proc, and lies on /proc')
    if inside.startswith("/proc/") and inside not in _REPLACEABLE:
        raise ConfigError(f'"{path}" cannot be mounted because it is inside /proc')


def _is_proc(source: int) -> bool:
    """Whether it is the root of a proc file system, whose inode is 1 (the kernel's PROC_ROOT_INO)."""
    return os.fstat(source).st_ino == 1 and mounts.filesystem_magic(by_number(source)) == mounts.PROC_MAGIC


def _words(words: tuple[str, ...], before: tuple[str, ...] = ()) -> str:
    """Those that mount(8) takes in ``-o``; it makes the calls for propagation itself."""
    parsed = mountoptions.parse(words)
    return ",".join([*before, *(each for each in words if each not in (*parsed.recursive, *mountoptions.CALLERS))])


def _afterwards(target: str, options: mountoptions.MountOptions) -> str:
    """Attributes of a whole tree: mount(8) learned them in util-linux 2.39, findmnt(8) has always listed a tree."""
    if not options.recursive:
        return ""
    words = ",".join(word[1:] for word in options.recursive)
    return (
        f" && findmnt --noheadings --list --submounts --output TARGET {target} | while read -r each; do "
        f'mount -o remount,bind,{words} "$each"; done'
    )
