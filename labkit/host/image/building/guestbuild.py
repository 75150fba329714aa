"""Building the guest image: one run of mmdebstrap with hooks."""

from __future__ import annotations

import secrets
import shlex
from pathlib import Path

from labkit.host.image.building import inputs, keys, mmdebstrap
from labkit.host.image.building.guestfiles import guest_files
from labkit.host.image.building.inputs import Inputs
from labkit.host.image.building.sources import sources
from labkit.host.payload import deployed

PHASES = (
    (r"I: running apt-get update", "reading the lists of packages"),
    (r"Get:\d+ (?!.*Packages \[)(?!.*InRelease)", "downloading packages"),
    (r"I: (extracting archives|installing essential)", "unpacking the essential packages"),
    (r"I: installing remaining", "installing the other packages"),
    (r"I: running .*finish_guest", "compiling, making the base images"),
    (r"I: running .*Make the disk", "making the disk"),
    (r"I: removing tempdir", "cleaning up"),
)


def build(wanted: Inputs, directory: Path, log_file: Path) -> None:
    """Make the files of ``guestimage.KIND`` in ``directory``.

    The directory exists and is the caller's to delete if this raises: MissingToolError, BuildError (with the last lines
    of ``log_file``), KeyboardInterrupt (mmdebstrap was ended first and has cleaned up).
    """
    mmdebstrap.check_tools()
    client, host = keys.generate(), keys.generate()
    keys.write_private(directory / "client_key", client.private)
    (directory / "host_key.pub").write_text(host.public + "\n", encoding="utf-8")
    configuration = guest_files(client.public, host.private, host.public, secrets.token_hex(16))
    configuration |= {f"{deployed.PREFIX}/{path}": contents for path, contents in wanted.payload.items()}
    configuration |= {f"/labkit-build/{name}": text.encode() for name, text in wanted.scripts.items()}
    keys.write_private(directory / "guest.tar", deployed.pack(configuration))
    mmdebstrap.run(command(directory, wanted), {}, log_file, "Building the guest image", PHASES)
    (directory / "guest.tar").unlink()


def command(directory: Path, wanted: Inputs) -> list[str]:
    """The command line; its results go to ``directory``."""
    images = "/usr/share/labkit/images"
    return [
        *mmdebstrap.command("essential"),
        f"--include={','.join(inputs.PACKAGES)}",
        "--dpkgopt=force-unsafe-io",
        *[f"--dpkgopt=path-exclude={pattern}" for pattern in inputs.EXCLUDED],
        f"--customize-hook=tar-in {shlex.quote(str(directory / 'guest.tar'))} /",
        '--customize-hook=chroot "$1" python3 /labkit-build/finish_guest.py',
        mmdebstrap.download("/labkit-out/facts.json", directory / "facts.json"),
        mmdebstrap.download("/bin/busybox", directory / "busybox"),
        *[mmdebstrap.download(f"{images}/{name}", directory / name) for name in ("busybox.tar", "redis.tar")],
        '--customize-hook=rm -r "$1/labkit-out"',
        f"--customize-hook={wanted.scripts['make_disk.sh']}",
        mmdebstrap.download("/labkit-out/disk.qcow2", directory / "disk.qcow2"),
        inputs.SUITE,
        "-",
        *sources(inputs.SUITE),
    ]
