#!/usr/bin/env python3
"""From a fresh checkout to a running lab: makes .venv, installs what is missing, runs the invoke tasks it is given.

    python3 bootstrap.py --yes up scenario redis-nat

Standard library only. Python 3.11 and newer; older ones (3.6 and newer) can still read the file far enough to say so,
which is why the version is looked at before anything else, and why there is no `from __future__ import annotations`.
Messages go to standard error: standard output belongs to the tasks.
"""

import sys

if sys.version_info < (3, 11):
    import subprocess

    def runs(name):
        """Is there such a Python? Version managers put programs on PATH that only say that they are not chosen."""
        try:
            return subprocess.call([name, "-c", ""], stderr=subprocess.DEVNULL) == 0
        except OSError:
            return False

    newer = [name for name in (f"python3.{minor}" for minor in range(19, 10, -1)) if runs(name)]
    this = f"{sys.version_info[0]}.{sys.version_info[1]}"
    sys.stderr.write(f"labkit needs Python 3.11 or newer, and this is {this} ({sys.executable}).\n")
    sys.stderr.write(f"Run it with {newer[0]}, which is here.\n" if newer else "Install one, and run this with it.\n")
    sys.exit(6)

import argparse
import getpass
import hashlib
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn

CHECKOUT = Path(__file__).resolve().parent
VENV = CHECKOUT / ".venv"
STAMP = VENV / "labkit-bootstrap.json"
WINDOWS = sys.platform == "win32"
IS_ROOT = sys.platform != "win32" and os.geteuid() == 0

INTERRUPTED, MISSING, FAILED = 130, 6, 7
"""Exit statuses, as in labkit/errors.py: Ctrl-C; a program or a right is missing; an installation went wrong."""

WITHOUT_MACHINE = {"clean", "doctor", "lint", "scenarios", "status"}
"""Tasks that need no system packages."""
WITH_DEVELOPMENT_TOOLS = {"lint", "test"}
"""Tasks that need the extra `dev`."""

EXTRA_PLACES = {
    # An ordinary user's PATH has no sbin on Debian, and mke2fs is there.
    "linux": ["/usr/local/sbin", "/usr/sbin", "/sbin"],
    "darwin": ["/opt/homebrew/bin", "/usr/local/bin"],
    # QEMU's installer does not touch PATH.
    "win32": [r"C:\Program Files\qemu"],
}.get(sys.platform, [])


class Manager(NamedTuple):
    """A system's package manager."""

    program: str
    install: str
    """The command; the packages' names are added to it."""
    refresh: str = ""
    """Renews the package lists."""
    as_root: bool = True


MANAGERS = {
    "linux": [
        # Recommended packages would be a desktop's half (qemu-system-gui); what is needed of them is in NEEDS.
        Manager("apt-get", "apt-get install --yes --no-install-recommends", "apt-get update"),
        Manager("dnf", "dnf install --assumeyes --setopt=install_weak_deps=False"),
        Manager("pacman", "pacman -S --noconfirm --needed", "pacman -Sy"),
        Manager("zypper", "zypper --non-interactive install --no-recommends", "zypper --non-interactive refresh"),
    ],
    "darwin": [Manager("brew", "brew install", as_root=False)],
    "win32": [
        Manager(
            "winget",
            "winget install --accept-package-agreements --accept-source-agreements --exact --id",
            as_root=False,
        ),
        Manager("choco", "choco install --yes", as_root=False),
    ],
}


class Need(NamedTuple):
    """Something that the system has to have."""

    what: str
    there: Callable[[], bool]
    packages: dict[str, str]
    """Package manager -> packages. Where a manager is not named, it has no such package."""
    builds_image: bool = False
    """Needed only to build the guest image, which is possible on Linux only."""
    command: str = ""
    """What brings it, where that is no package; to be run as root."""


def program(name: str) -> Callable[[], bool]:
    """Is there a program of this name?"""
    return lambda: shutil.which(name, path=search_path()) is not None


def search_path() -> str:
    """PATH, and the places where programs are that are not on it."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *EXTRA_PLACES])


def has_venv() -> bool:
    """Debian packs ensurepip, without which venv makes no pip, apart from Python."""
    return all(importlib.util.find_spec(name) for name in ("venv", "ensurepip"))


def user_name() -> str:
    """Whose subordinate ids are looked for."""
    return os.environ.get("SUDO_USER") or getpass.getuser()


def has_subordinate_ids() -> bool:
    """Whether this user may map ids into a user namespace (subuid(5)); root may anyway."""
    if IS_ROOT or sys.platform != "linux":
        return True
    owners = {user_name(), str(os.getuid())}
    files = [Path("/etc/subuid"), Path("/etc/subgid")]
    return all(file.exists() and any(line.split(":")[0] in owners for line in file.open()) for file in files)


NEEDS = [
    Need("Python's venv module", has_venv, {"apt-get": f"python3.{sys.version_info[1]}-venv"}),
    Need(
        "qemu-system-x86_64, which runs the machine",
        program("qemu-system-x86_64"),
        {
            "apt-get": "qemu-system-x86",
            "dnf": "qemu-system-x86-core",
            "pacman": "qemu-system-x86",
            "zypper": "qemu-x86",
            "brew": "qemu",
            "winget": "SoftwareFreedomConservancy.QEMU",
            "choco": "qemu",
        },
    ),
    Need(
        "qemu-img, which makes disks",
        program("qemu-img"),
        {
            "apt-get": "qemu-utils",
            "dnf": "qemu-img",
            "pacman": "qemu-img",
            "zypper": "qemu-tools",
            "brew": "qemu",
            "winget": "SoftwareFreedomConservancy.QEMU",
            "choco": "qemu",
        },
    ),
    Need(
        "mmdebstrap, which builds the guest image",
        program("mmdebstrap"),
        {"apt-get": "mmdebstrap", "dnf": "mmdebstrap"},
        builds_image=True,
    ),
    Need(
        "Debian's archive keys",
        Path("/usr/share/keyrings/debian-archive-keyring.gpg").exists,
        dict.fromkeys(("apt-get", "pacman"), "debian-archive-keyring") | {"dnf": "debian-keyring"},
        builds_image=True,
    ),
    Need(
        "mke2fs, which makes the guest's file system",
        program("mke2fs"),
        dict.fromkeys(("apt-get", "dnf", "pacman", "zypper"), "e2fsprogs"),
        builds_image=True,
    ),
    Need(
        "depmod, which lists a kernel's modules",
        program("depmod"),
        dict.fromkeys(("apt-get", "dnf", "pacman", "zypper"), "kmod"),
        builds_image=True,
    ),
    Need(
        "the certificates of the web's authorities",
        lambda: any(
            Path(file).exists() for file in ("/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem", "/etc/pki/tls")
        ),
        dict.fromkeys(("apt-get", "dnf", "pacman", "zypper"), "ca-certificates"),
        builds_image=True,
    ),
    Need(
        "newuidmap, which lets an ordinary user build a root file system",
        lambda: IS_ROOT or program("newuidmap")(),
        {"apt-get": "uidmap", "dnf": "shadow-utils", "pacman": "shadow", "zypper": "shadow"},
        builds_image=True,
    ),
    Need(
        "subordinate user ids of this user's",
        has_subordinate_ids,
        {},
        builds_image=True,
        command="usermod --add-subuids 100000-165535 --add-subgids 100000-165535 " + ("" if IS_ROOT else user_name()),
    ),
]


class Failure(Exception):  # noqa: N818
    """Ends the program with a sentence, and what to do."""

    def __init__(self, message: str, hint: str, status: int = MISSING) -> None:
        super().__init__(message)
        self.message, self.hint, self.status = message, hint, status


def say(text: str, bold: bool = False) -> None:
    """A message, on standard error."""
    if bold and sys.stderr.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb":
        text = f"\033[1m{text}\033[0m"
    print(text, file=sys.stderr, flush=True)


def run_shown(title: str, command: list[str], environment: dict[str, str] | None = None) -> None:
    """Run a command that talks a lot: on a terminal its newest line is shown, elsewhere one line every ten seconds.

    CalledProcessError, with the last lines in ``output``, where it fails.
    """
    on_terminal, started, spoke = sys.stderr.isatty(), time.monotonic(), time.monotonic()
    width = shutil.get_terminal_size().columns - 1
    say(f"{title} ...", bold=True)
    lines: list[str] = []
    with subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout
        for line in process.stdout:
            lines = [*lines[-19:], line.rstrip()]
            if on_terminal:
                sys.stderr.write("\r\033[K" + ("  " + lines[-1].strip())[:width])
                sys.stderr.flush()
            elif time.monotonic() - spoke > 10:
                spoke = time.monotonic()
                say("  " + lines[-1].strip()[:200])
    if on_terminal:
        sys.stderr.write("\r\033[K")
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, "\n".join(lines))
    say(f"{title}: done ({time.monotonic() - started:.0f} s)")


# System packages


def missing_needs(tasks: list[str]) -> list[Need]:
    """What the tasks need and is not there. Away from Linux the guest image is not built."""
    needs = NEEDS[:1] if tasks and not needs_machine(tasks) else NEEDS
    return [need for need in needs if not (need.builds_image and sys.platform != "linux") and not need.there()]


def needs_machine(tasks: list[str]) -> bool:
    """Whether any of the words can start a machine. A task's own arguments count as if they could."""
    return any(word not in WITHOUT_MACHINE for word in tasks if not word.startswith("-"))


def package_manager() -> Manager | None:
    """The system's own."""
    return next((manager for manager in MANAGERS.get(sys.platform, []) if shutil.which(manager.program)), None)


def names(needs: list[Need]) -> str:
    """For a sentence."""
    return "; ".join(need.what for need in needs)


def package_commands(manager: Manager, missing: list[Need]) -> list[list[str]]:
    """The commands that install what is missing (to be run as root where the manager wants that)."""
    packages = sorted({need.packages[manager.program] for need in missing if manager.program in need.packages})
    install = manager.install.split()
    groups = [[package] for package in packages] if manager.program == "winget" else [packages] if packages else []
    return [*([*install, *group] for group in groups), *(need.command.split() for need in missing if need.command)]


def as_root(command: list[str]) -> list[str]:
    """The command, with sudo where this is not root and there is one."""
    return ["sudo", *command] if not IS_ROOT and shutil.which("sudo") else command


def may_become_root(ask: bool) -> bool:
    """Root already, or sudo lets us: without a password, or after asking for it where somebody is there."""
    if IS_ROOT:
        return True
    if not shutil.which("sudo"):
        return False
    if subprocess.run(["sudo", "-n", "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
        return True
    return ask and sys.stdin.isatty() and subprocess.run(["sudo", "-v"], check=False).returncode == 0


def install_packages(missing: list[Need], yes: bool) -> None:
    """Show the commands, ask, run them, and look again."""
    manager = package_manager()
    if manager is None:
        raise Failure(f"Missing: {names(missing)}.", "Install them, then run this again.")
    commands = package_commands(manager, missing)
    for need in missing:
        lacking = (
            "" if manager.program in need.packages or need.command else f" ({manager.program} has no package of it)"
        )
        say(f"Missing: {need.what}{lacking}")
    by_hand = "\n".join("    " + shlex.join(as_root(c) if manager.as_root else c) for c in commands)
    if commands:
        say(f"To be run:\n{by_hand}")
        if not yes and not agreed("Run it now?"):
            raise Failure("Nothing was installed.", "Type the above, then run this again.")
        if manager.as_root and not may_become_root(ask=True):
            raise Failure("Only root can install packages, and this is not root.", f"As root, type:\n{by_hand}")
        run_package_commands(manager, commands)
    still = [need for need in missing if not need.there()]
    if any(not need.builds_image for need in still):
        raise Failure(f"Still missing: {names(still)}.", "Install them by hand.")
    for need in still:
        say(f"Still missing: {need.what}. A guest image that was built elsewhere can be used.")


def run_package_commands(manager: Manager, commands: list[list[str]]) -> None:
    """Install; where the package lists are empty, or it fails, renew them first."""
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    if manager.program == "apt-get" and not any(Path("/var/lib/apt/lists").glob("*Packages*")):
        run_shown("Renewing the package lists", as_root(manager.refresh.split()), environment)
    for command in commands:
        words = as_root(command) if manager.as_root else command
        title = "Installing system packages"
        try:
            run_shown(title, words, environment)
        except subprocess.CalledProcessError:
            if not manager.refresh:
                raise
            run_shown("Renewing the package lists", as_root(manager.refresh.split()), environment)
            run_shown(title, words, environment)
    importlib.invalidate_caches()


def agreed(question: str) -> bool:
    """Whether the user says yes. Where nobody can be asked it is a no."""
    if not sys.stdin.isatty():
        say("Nobody is there to ask; --yes does not ask.")
        return False
    sys.stderr.write(f"{question} [Y/n] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("", "y", "yes")


# The virtual environment


def venv_program(name: str) -> Path:
    """A program of the virtual environment."""
    return VENV / (f"Scripts/{name}.exe" if WINDOWS else f"bin/{name}")


def wanted_extras(tasks: list[str]) -> set[str]:
    """Extras of pyproject.toml."""
    return {"host"} | ({"dev"} if WITH_DEVELOPMENT_TOOLS & set(tasks) else set())


def read_stamp() -> dict[str, object]:
    """What was installed last, or nothing."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def stamp_of(extras: set[str]) -> dict[str, object]:
    """All that an installation depends on. An editable one holds the checkout's path."""
    digest = hashlib.sha256((CHECKOUT / "pyproject.toml").read_bytes()).hexdigest()
    return {"pyproject": digest, "checkout": str(CHECKOUT), "extras": sorted(extras)}


def environment_commands(tasks: list[str]) -> tuple[list[tuple[str, list[str]]], dict[str, object]]:
    """What has to be run, with its title, so that the environment fits, and the stamp afterwards."""
    last, extras = read_stamp(), wanted_extras(tasks)
    had = last.get("extras")
    extras |= set(had) if isinstance(had, list) else set()
    stamp = stamp_of(extras)
    python = venv_program("python")
    if stamp == last and python.exists() and venv_program("invoke").exists():
        return [], stamp
    commands = []
    if not has_pip(python):
        # --clear also takes away what an interrupted run left, and a link to a Python that is gone.
        commands.append(("Making the virtual environment", [sys.executable, "-m", "venv", "--clear", str(VENV)]))
    what = f".[{','.join(sorted(extras))}]"
    install = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--editable", what]
    return [*commands, ("Installing Python packages", install)], stamp


def has_pip(python: Path) -> bool:
    """Whether this Python runs and has pip."""
    try:
        run = subprocess.run([python, "-c", "import pip"], capture_output=True, check=False)
    except OSError:
        return False
    return run.returncode == 0


def make_environment(tasks: list[str]) -> None:
    """Bring the virtual environment up to date. The stamp is written last: an interrupted run is repeated."""
    commands, stamp = environment_commands(tasks)
    if not commands:
        return
    STAMP.unlink(missing_ok=True)
    for title, command in commands:
        run_shown(title, command)
    STAMP.write_text(json.dumps(stamp), encoding="utf-8")


# The command line


EPILOG = """examples:
  python3 bootstrap.py --yes up scenario redis-nat   install, start the machine, play the first lesson
  python3 bootstrap.py --yes test                    install, run all tests
  python3 bootstrap.py --dry-run up                  only say what would be done
  python3 bootstrap.py                               install, and ask before that

Afterwards plain `invoke TASK` does, from .venv/bin (.venv\\Scripts on Windows). pip's own settings (pip.conf, PIP_*)
and the package manager's hold here too.
"""


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line. Everything from the first task on is invoke's."""
    parser = argparse.ArgumentParser(
        prog="bootstrap.py",
        description="Installs what the lab needs into this checkout, then runs invoke tasks.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--yes", action="store_true", help="install system packages without asking")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument("--no-packages", action="store_true", help="do not look for system packages")
    parser.add_argument("tasks", nargs=argparse.REMAINDER, metavar="TASK …", help="invoke tasks and their arguments")
    return parser.parse_args(arguments)


def show_plan(missing: list[Need], tasks: list[str]) -> None:
    """Print, as shell commands on standard output, what would be run."""
    manager = package_manager()
    for need in missing:
        print(f"# missing: {need.what}")
    if missing and manager is None:
        print("# no package manager that is known here")
    commands = package_commands(manager, missing) if manager else []
    lines = [shlex.join(as_root(c) if manager and manager.as_root else c) for c in commands]
    lines += [shlex.join(command) for _, command in environment_commands(tasks)[0]]
    if tasks:
        lines.append(shlex.join([str(venv_program("invoke")), *tasks]))
    print("\n".join(lines or ["# nothing"]))


def run_tasks(tasks: list[str]) -> NoReturn:
    """Become invoke (on Windows: start it and wait), so that Ctrl-C and the exit status are its own."""
    if not tasks:
        say(f"Ready. Next: {os.path.relpath(venv_program('invoke'))} --list", bold=True)
        sys.exit(0)
    os.environ["PATH"] = os.pathsep.join([str(venv_program("x").parent), search_path()])
    os.chdir(CHECKOUT)
    # Not by the script's first line: the kernel cuts a long one (execve(2): 255 bytes), and checkouts are deep.
    command = (
        [str(venv_program("invoke")), *tasks]
        if WINDOWS
        else [str(venv_program("python")), str(venv_program("invoke")), *tasks]
    )
    if not WINDOWS:
        os.execv(command[0], command)  # noqa: S606 (no shell is what is wanted)
    with subprocess.Popen(command) as process:
        while True:
            try:
                sys.exit(process.wait())
            except KeyboardInterrupt:  # The console sent it to invoke, too, which now tidies up.
                continue


def main(arguments: list[str]) -> NoReturn:
    """Do it all, or say in one sentence why not."""
    options = parse(arguments)
    try:
        missing = [] if options.no_packages else missing_needs(options.tasks)
        if options.dry_run:
            show_plan(missing, options.tasks)
            sys.exit(0)
        if missing:
            install_packages(missing, options.yes)
        make_environment(options.tasks)
        if sys.platform != "linux" and needs_machine(options.tasks):
            say("The guest image can be built on Linux only. Run `invoke up` once on a Linux computer, and copy its")
            say("image to the directory that `invoke doctor` names here. Everything else works on this system.")
        run_tasks(options.tasks)
    except Failure as failure:
        say(f"error: {failure.message}\n  hint: {failure.hint}")
        sys.exit(failure.status)
    except subprocess.CalledProcessError as error:
        say(f"{error.output}\nerror: this failed with status {error.returncode}: {shlex.join(error.cmd)}")
        say("  hint: the lines above say why; run this again when that is mended.")
        sys.exit(FAILED)
    except KeyboardInterrupt:
        say("\nInterrupted. Run it again: it goes on where it was.")
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main(sys.argv[1:])
