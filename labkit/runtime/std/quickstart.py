"""What a deployed program does to start and to end sooner. Nothing depends on it: without it all works as well.

Two tricks, for a command that lasts some 30 ms:

- **the byte code comes from one file** (5 ms less for 90 modules). Python's own finder looks for a module of ours in
  each directory of ``sys.path``, under five names, and then opens, asks about and reads a file for each. A deployment
  puts all into one (host/payload/receiver.py), which is read once; one stat(2) asks of each module whether its source
  is still what was compiled. Where it is not, or the file is missing or another Python's, Python's own finder and
  loader do it; tracebacks name the source files either way.
- **the process ends at once** (5 ms less): instead of taking the interpreter apart, object by object, it flushes what
  was printed and calls _exit(2). Locks, descriptors and children are the kernel's to end, as always.

Python looks for garbage in circles only seldom here (1 ms): a short command leaves it to the kernel.
"""

from __future__ import annotations

import gc
import marshal
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import NoReturn

    #: Module -> its source, whether it is a package, the source's time (ns) and size, where its code begins and ends.
    Index = dict[str, tuple[str, bool, int, int, int, int]]
else:
    # The class that Python has already made for its own modules; importing importlib.machinery takes 0.3 ms.
    ModuleSpec = type(sys.__spec__)

#: The file beside the package: what byte code of the Python that wrote it begins with (importlib.util.MAGIC_NUMBER),
#: the length of the index and of all (four bytes each, little-endian), the index, the codes, as marshal writes them.
FILE = "labkit.codes"
_MAGIC: bytes = getattr(sys.modules.get("_frozen_importlib_external"), "MAGIC_NUMBER", b"")
_HEADER = 12

#: Objects that are made before circles are looked for; Python's own number is 700.
_OBJECTS = 50_000


def prepare(library: str) -> None:
    """Take modules of the package ``labkit`` in the directory ``library`` from the one file, from now on."""
    gc.set_threshold(_OBJECTS, 10, 10)
    try:
        codes = _read(f"{library}/{FILE}")
    except OSError:
        return
    if codes[:4] == _MAGIC and int.from_bytes(codes[8:_HEADER], "little") == len(codes):
        sys.meta_path.insert(0, Finder(codes))


def leave(status: int) -> NoReturn:
    """End the process with what ``main`` returned."""
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream:
                stream.flush()
    except (OSError, ValueError):
        sys.exit(status)  # Python's own way has the words for it
    posix._exit(status & 0xFF)


class Finder:
    """An entry of ``sys.meta_path`` (PEP 302), and the loader of what it finds."""

    def __init__(self, codes: bytes) -> None:
        view = memoryview(codes)
        self.index: Index = marshal.loads(view[_HEADER:])  # noqa: S302 - Python's own does the same with byte code
        self.codes = view[_HEADER + int.from_bytes(view[4:8], "little") :]

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """A module of the index whose source is as it was; None for others, which are looked for as usual."""
        known = self.index.get(name)
        if known is None:
            return None
        source, is_package, *as_it_was = known[:4]
        try:
            about = posix.stat(source)
        except OSError:
            return None
        if as_it_was != [about.st_mtime_ns, about.st_size]:
            return None
        spec = ModuleSpec(name, self, origin=source, is_package=is_package)  # type: ignore[arg-type]
        if is_package:
            spec.submodule_search_locations = [source.rpartition("/")[0]]
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """Python makes it."""

    def exec_module(self, module: ModuleType) -> None:
        """Fill it. (Were the file named in the specification, Python would work out the name of its byte code, too.)"""
        source, _, _, _, begin, end = self.index[module.__name__]
        module.__file__ = source
        exec(marshal.loads(self.codes[begin:end]), module.__dict__)  # noqa: S102, S302 - as above


def _read(path: str) -> bytes:
    file = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return posix.read(file, posix.fstat(file).st_size)
    finally:
        posix.close(file)
