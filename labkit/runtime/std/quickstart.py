"""What a deployed program does to start and to end sooner. Nothing depends on it: without it all works as well.

Two tricks, for a command that lasts some 30 ms:

- **the byte code comes from one file** (5 ms less for 90 modules). Python's own finder looks for a module of ours in
  each directory of ``sys.path``, under five names, and then opens, asks about and reads a file for each. A deployment
  puts all into one (host/payload/receiver.py), with an index; one stat(2) asks of each module whether its source is
  still what was compiled. Where it is not, or the file is missing or another Python's, Python's own finder and
  loader do it; tracebacks name the source files either way.
- **the process ends at once** (5 ms less): instead of taking the interpreter apart, object by object, it flushes what
  was printed and calls _exit(2). Locks, descriptors and children are the kernel's to end, as always.

Python looks for garbage in circles only seldom here (1 ms): a short command leaves it to the kernel.
"""

from __future__ import annotations

import _imp
import gc
import marshal
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec, SourceFileLoader
    from types import ModuleType
    from typing import NoReturn

    #: Module -> whether it is a package, its source's time (ns) and size, where among the codes its own begins, ends.
    Index = dict[str, tuple[bool, int, int, int, int]]
else:
    # The classes by which Python finds its own modules; importing importlib.machinery takes 0.3 ms.
    ModuleSpec, SourceFileLoader = type(sys.__spec__), sys.modules["_frozen_importlib_external"].SourceFileLoader

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
        file = posix.open(f"{library}/{FILE}", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return
    about, header = posix.fstat(file), posix.read(file, _HEADER)
    length, size = int.from_bytes(header[4:8], "little"), int.from_bytes(header[8:], "little")
    if header[:4] == _MAGIC and size == about.st_size:
        sys.meta_path.insert(0, Finder(library, about, posix.read(file, length)))
    posix.close(file)


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

    def __init__(self, library: str, about: posix.stat_result, index: bytes) -> None:
        self.library, self.about, self.codes = library, about, _HEADER + len(index)
        self.index: Index = marshal.loads(index)  # noqa: S302 - Python's own does the same with byte code

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """A module of the index whose source is as it was; None for others, which are looked for as usual."""
        known = self.index.get(name)
        if known is None:
            return None
        is_package, *as_it_was = known[:3]
        place = f"{self.library}/{name.replace('.', '/')}"
        source = f"{place}/__init__.py" if is_package else f"{place}.py"
        try:
            about = posix.stat(source)
        except OSError:
            return None
        if as_it_was != [about.st_mtime_ns, about.st_size]:
            return None
        spec = ModuleSpec(name, self, origin=source, is_package=is_package)  # type: ignore[arg-type]
        if is_package:
            spec.submodule_search_locations = [place]
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """Python makes it."""

    def exec_module(self, module: ModuleType) -> None:
        """Fill it. (Were the file named in the specification, Python would work out the name of its byte code, too.)"""
        name, source = module.__name__, str(module.__spec__ and module.__spec__.origin)
        module.__file__ = source
        packed = self._code(*self.index[name][3:])
        if packed:
            code = marshal.loads(packed)  # noqa: S302
            # The prefix may have been moved or copied. Python's own does the same.
            _imp._fix_co_filename(code, source)  # type: ignore[attr-defined]
        else:  # after a deployment in this very moment
            code = SourceFileLoader(name, source).get_code(name)
        exec(code, module.__dict__)  # noqa: S102

    def _code(self, begin: int, end: int) -> bytes:
        """A part of the file; nothing where that is another one by now. (No descriptor stays: a caller's may be 3.)"""
        try:
            file = posix.open(f"{self.library}/{FILE}", posix.O_RDONLY | posix.O_CLOEXEC)
        except OSError:
            return b""
        about = posix.fstat(file)
        same = (about.st_ino, about.st_mtime_ns) == (self.about.st_ino, self.about.st_mtime_ns)
        code = posix.pread(file, end - begin, self.codes + begin) if same else b""
        posix.close(file)
        return code
