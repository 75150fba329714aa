"""What a deployed program does to start and to end sooner. Nothing depends on it: without it all works as well.

Two tricks, for a command that lasts some 30 ms:

- **the byte code comes from one file** (8 ms less for 90 modules). Python's own finder looks for a module of ours in
  each directory of ``sys.path``, under five names, and then opens, asks about and reads a file for each. A deployment
  puts all into one (host/payload/receiver.py), with an index of what each module imports, so that one ``import`` of
  ours brings all that it needs, in order; one stat(2) asks of each whether its source is still what was compiled.
  Where it is not, or the file is missing or another Python's, Python's own finder and loader do it; tracebacks name
  the source files either way.
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
    from collections.abc import Iterable
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType
    from typing import NoReturn

    #: Module -> whether it is a package, its source's time (ns) and size, where among the codes its own begins, ends,
    #: and what it imports at once.
    Index = dict[str, tuple[bool, int, int, int, int, list[str]]]
else:
    # The classes by which Python finds its own modules; importing importlib.machinery takes 0.3 ms.
    ModuleSpec, ModuleType = type(sys.__spec__), type(sys)

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
        self.read: dict[str, CodeType] = {}

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """A module of the index whose source is as it was; None for others, which are looked for as usual.

        What it imports is there afterwards. (Asking all finders for each, under locks, takes as long as executing it.)
        """
        specs: dict[str, ModuleSpec] = {}
        self._gather(name, specs, set())
        if name not in specs or not self._read(specs):
            return None
        for needed, spec in specs.items():
            if needed not in sys.modules and needed != name:
                self._make(spec)
        return specs[name]

    def create_module(self, spec: ModuleSpec) -> None:
        """Python makes it."""

    def exec_module(self, module: ModuleType) -> None:
        """Fill it. (Were the file named in the specification, Python would work out the name of its byte code, too.)"""
        module.__file__ = source = str(module.__spec__ and module.__spec__.origin)
        code = self.read.pop(module.__name__)
        # The prefix may have been moved or copied. Python's own does the same.
        _imp._fix_co_filename(code, source)  # type: ignore[attr-defined]
        exec(code, module.__dict__)  # noqa: S102

    def _gather(self, name: str, specs: dict[str, ModuleSpec], seen: set[str]) -> None:
        """Add a module after its package and what it imports, unless it is not as it was: then Python is to find it."""
        if name in seen or name in sys.modules or name not in self.index:
            return
        seen.add(name)
        is_package, time, size, _, _, needs = self.index[name]
        place, parent = f"{self.library}/{name.replace('.', '/')}", name.rpartition(".")[0]
        source = f"{place}/__init__.py" if is_package else f"{place}.py"
        try:
            about = posix.stat(source)
        except OSError:
            return
        if (about.st_mtime_ns, about.st_size) != (time, size):
            return
        for needed in (parent, *needs):
            self._gather(needed, specs, seen)
        if parent and parent not in sys.modules and parent not in specs:
            return
        specs[name] = ModuleSpec(name, self, origin=source, is_package=is_package)  # type: ignore[arg-type]
        if is_package:
            specs[name].submodule_search_locations = [place]

    def _make(self, spec: ModuleSpec) -> None:
        """What ``import`` does with a specification (importlib._bootstrap._load_unlocked)."""
        module = ModuleType(spec.name)
        module.__spec__, module.__loader__, module.__package__ = spec, spec.loader, spec.parent
        if spec.submodule_search_locations is not None:
            module.__path__ = spec.submodule_search_locations
        sys.modules[spec.name] = module
        try:
            self.exec_module(module)
        except BaseException:
            del sys.modules[spec.name]
            raise
        parent, _, name = spec.name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], name, module)

    def _read(self, names: Iterable[str]) -> bool:
        """The code of these; not where the file is another one by now. (No descriptor stays: a caller's may be 3.)"""
        try:
            file = posix.open(f"{self.library}/{FILE}", posix.O_RDONLY | posix.O_CLOEXEC)
        except OSError:
            return False
        about = posix.fstat(file)
        same = (about.st_ino, about.st_mtime_ns) == (self.about.st_ino, self.about.st_mtime_ns)
        for name in names if same else ():
            begin, end = self.index[name][3:5]
            self.read[name] = marshal.loads(posix.pread(file, end - begin, self.codes + begin))  # noqa: S302
        posix.close(file)
        return same
