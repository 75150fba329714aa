"""``invoke clean``: what labkit keeps on this computer, how large it is, and its removal.

Only what labkit itself made is removed, by name: LABKIT_CACHE or LABKIT_STATE may name a directory that holds
something else as well.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from labkit import log
from labkit.errors import ConflictError, UsageError
from labkit.host.image import box
from labkit.host.lab import config, paths
from labkit.host.machines import ownstate
from labkit.host.proof import teststages

STATE = ("machines", "vagrant", "reports", "tests", "matrix", "locks", "tests.lock", "tests.json", "matrix.lock")
CACHE = ("images", "kernels", "boxes", "accelerators.json")


def kept() -> dict[Path, int]:
    """What there is now, directories and files -> bytes on disk."""
    places = [paths.state_dir() / name for name in STATE] + [paths.cache_dir() / name for name in CACHE]
    # What Vagrant has unpacked of our own boxes is among all other boxes of this user's.
    places += [box.vagrant_home() / "boxes" / box.name_for(kernel) for kernel in config.load().kernels.values()]
    return {path: paths.disk_bytes(path) for path in places if path.exists()}


def clean(ask: bool) -> int:
    """Remove everything: machines first (they may run), then files. With ``ask`` only after a yes."""
    found = kept()
    if not found:
        print("There is nothing to remove.")
        return 0
    for path, size in found.items():
        print(f"{size / 2**20:8.0f} MiB  {path}")
    if ask and not _agreed():
        print("Nothing was removed.")
        return 0
    _destroy_machines()
    for path in found:
        with log.step(f"Removing {path}"):
            _remove(path)
    return 0


def _agreed() -> bool:
    """Whether the user says yes. Who cannot be asked must have said ``--yes``."""
    if not sys.stdin.isatty():
        raise UsageError("Nobody is there to ask whether to remove all this.", "`invoke clean --yes` does not ask.")
    answer = input("Remove all of it? The guest image takes a few minutes to build again. [y/N] ")
    return answer.strip().lower() in {"y", "yes"}


def _destroy_machines() -> None:
    """Destroy all machines, also those that lab.yaml no longer names: their process may still run."""
    ownstate.destroy_all(paths.state_dir() / "machines")
    if (paths.state_dir() / "tests").exists():
        # The tests' own machines: of a run that was killed they may still be there. ConflictError while one goes on.
        with teststages.machine_of_the_tests():
            pass
    if (paths.state_dir() / "matrix").exists():
        with ownstate.machines_in(paths.state_dir() / "matrix", "the matrix"):
            pass


def _remove(path: Path) -> None:
    try:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    except FileNotFoundError:
        pass
    except PermissionError as error:  # On Windows: somebody has the file open.
        raise ConflictError(f"{error.filename} is in use.", "End what uses it, then `invoke clean` again.") from None
