#!/usr/bin/env python3
"""The last step inside the new root filesystem, before it becomes a disk. Runs in the image build only.

What was unpacked is put to use (keys, units, base images), what only slows the boot is switched off, and what
the build left is deleted. Boot time counts: each unit costs a process or more, which is slow in software emulation.
"""

from __future__ import annotations

import compileall
import json
import shutil
import subprocess
import sys
from pathlib import Path

BUILD = Path("/labkit-build")
"""Where the build unpacked its scripts. Deleted at the end."""

OUT = Path("/labkit-out")
"""What the build takes out of the root filesystem: facts.json."""

MODULES = Path("/usr/lib/modules")
"""Where the initrd mounts the kernel's modules. The image has none of its own."""

MASKED = """
    dbus.service dbus.socket systemd-logind.service getty@tty1.service getty-static.service serial-getty@ttyS0.service
    getty.target systemd-ask-password-console.path systemd-ask-password-wall.path
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer
    logrotate.timer man-db.timer motd-news.timer systemd-tmpfiles-clean.timer
    systemd-timesyncd.service systemd-resolved.service systemd-networkd.service systemd-networkd-wait-online.service
    systemd-firstboot.service systemd-machine-id-commit.service systemd-hwdb-update.service systemd-sysusers.service
    systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-random-seed.service systemd-pstore.service
    systemd-journal-flush.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount
    systemd-fsck-root.service systemd-remount-fs.service systemd-boot-system-token.service systemd-rfkill.socket
    dev-hugepages.mount initrd-cleanup.service keyboard-setup.service console-setup.service
    sys-kernel-config.mount sys-fs-fuse-connections.mount modprobe@drm.service modprobe@efi_pstore.service
    modprobe@configfs.service modprobe@fuse.service modprobe@dm_mod.service modprobe@loop.service
    podman.socket podman-restart.service podman-auto-update.service podman-auto-update.timer
""".split()
"""Units that a machine of one disk, one static address and no keyboard does without."""

LEFTOVERS = """
    /var/lib/apt/lists /var/cache/apt /var/cache/debconf /var/cache/ldconfig /var/log/apt
    /etc/apt/apt.conf.d/99mmdebstrap /etc/dpkg/dpkg.cfg.d/99mmdebstrap
    /usr/share/doc /usr/share/man /usr/share/info /usr/share/locale
""".split()


def run(*command: str) -> None:
    """Run a program of the new root filesystem; the build fails with it."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def set_up_ssh() -> None:
    """The lab's own host key only, and its client key for root."""
    for generated in Path("/etc/ssh").glob("ssh_host_*"):
        if "ed25519" not in generated.name:
            generated.unlink()
    for path, mode in (
        ("/etc/ssh/ssh_host_ed25519_key", 0o600),
        ("/root/.ssh", 0o700),
        ("/root/.ssh/authorized_keys", 0o600),
    ):
        Path(path).chmod(mode)


def set_up_vagrant() -> None:
    """The user whom Vagrant expects. Nobody can log in as that before a box's first boot (labkit-box.service)."""
    # With "!" instead of "*" the account is locked, and sshd refuses its keys, too (sshd(8), without PAM).
    run("useradd", "--create-home", "--shell", "/bin/bash", "--password", "*", "vagrant")
    Path("/etc/sudoers.d/vagrant").chmod(0o440)


def set_up_units() -> None:
    """Switch on sshd and what the lab brings, switch off the rest."""
    for unit in MASKED:
        link = Path("/etc/systemd/system") / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    run("systemctl", "disable", "redis-server.service")
    run("systemctl", "enable", "ssh.service", "labkit-iptables.service", "labkit-box.service")
    run("systemctl", "set-default", "multi-user.target")


def set_up_labkit() -> None:
    """Compile what was vendored (slow in the guest, quick here) and make the base images."""
    if not compileall.compile_dir("/opt/labkit/lib", quiet=1):
        sys.exit("finish_guest: a vendored module does not compile")
    run(sys.executable, str(BUILD / "make_base_images.py"), "/usr/share/labkit/images")


def clean_up() -> None:
    """Delete what the build left: package lists, logs, documentation that dpkg's filter let through."""
    for leftover in LEFTOVERS:
        path = Path(leftover)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for log in Path("/var/log").rglob("*"):
        if log.is_file():
            log.unlink()


def main() -> None:
    """Do all of it, and say what was made."""
    set_up_ssh()
    set_up_vagrant()
    set_up_units()
    set_up_labkit()
    MODULES.mkdir(exist_ok=True)
    clean_up()
    packages = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Version}\n"], check=True, capture_output=True, text=True
    ).stdout
    facts = {"packages": dict(line.split() for line in packages.splitlines())}
    OUT.mkdir()
    (OUT / "facts.json").write_text(json.dumps(facts))
    shutil.rmtree(BUILD)


if __name__ == "__main__":
    main()
