"""vagrant/provision.sh and deploy.sh, for real, on a Debian 12 root filesystem as a stock box has it: twice.

It is no machine: nothing is booted, and the boot loader is a stand-in. Debian's archive and PyPI are asked.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.errors import LabkitError
from labkit.host.image.building import inputs, mmdebstrap
from labkit.host.lab import paths

pytestmark = pytest.mark.thorough

OF_A_STOCK_BOX = "systemd-sysv,openssh-server,sudo,iproute2,ca-certificates"

PARAMETERS = "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1"

RESULTS = ("provision-1", "provision-2", "deploy-1", "deploy-2", "after", "update-grub")


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What was said: by the first run of each script, by the second, and by who looked afterwards."""
    if sys.platform != "linux":
        pytest.skip("the scripts are for Linux")
    try:
        mmdebstrap.check_tools()
    except LabkitError as error:
        pytest.skip(f"no root filesystem can be made here: {error.message}")
    place = tmp_path_factory.mktemp("provision")
    checkout = paths.checkout()
    taken = [checkout / "vagrant" / "provision.sh", checkout / "vagrant" / "deploy.sh", checkout / "labkit"]
    taken += [
        checkout / "labkit/host/image/resources/make_base_images.py",
        Path(__file__).with_name("provision_twice.sh"),
    ]
    copied = " ".join(shlex.quote(str(path)) for path in taken)
    certificates = "/etc/ssl/certs"  # pip's way to the index may need this computer's own
    command = mmdebstrap.command(
        "apt",
        inputs.SUITE,
        f"--include={OF_A_STOCK_BOX}",
        f"--customize-hook=copy-in {copied} /root",
        *([f"--customize-hook=copy-in {certificates} /etc/ssl"] if Path(certificates).is_dir() else []),
        f'--customize-hook=chroot "$1" sh /root/provision_twice.sh legacy {shlex.quote(PARAMETERS)}',
        *[mmdebstrap.download(f"/out/{name}", place / name) for name in RESULTS],
    )
    log_file = place / "log"
    try:
        mmdebstrap.run(command, {}, log_file, "Provisioning a root filesystem", ())
    except LabkitError as error:
        last = "\n".join(log_file.read_text(errors="replace").splitlines()[-30:])
        raise AssertionError(f"{error.message}\n{last}") from error
    return {name: (place / name).read_text(errors="replace") for name in RESULTS}


def test_the_first_run_makes_a_lab_machine(said: dict[str, str]) -> None:
    assert "labkit: installing" in said["provision-1"]
    assert "labkit: making the base images busybox and redis" in said["provision-1"]
    assert "labkit: iptables is iptables-legacy" in said["provision-1"]
    assert "labkit: deployed (" in said["deploy-1"]
    after = said["after"]
    assert after.count("(legacy)") == 2
    assert "\nlabkit " in after
    assert "\nbusybox " in after
    assert "\nredis " in after
    assert "redis-server: disabled" in after
    assert "maxsessions 100" in after
    assert f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {PARAMETERS}"' in after


def test_the_second_run_finds_nothing_to_do(said: dict[str, str]) -> None:
    """But says that the machine still has to be restarted."""
    assert said["provision-2"].splitlines() == [
        "labkit: the control groups are as lab.yaml says after one restart: `vagrant reload`"
    ]
    assert said["update-grub"] == "called\n"
    assert "labkit: deployed (0 files)" in said["deploy-2"]


def test_nothing_is_left_in_the_way(said: dict[str, str]) -> None:
    assert said["after"].splitlines()[-1] == "left: labkit*", "that is: no file of such a name"


def test_another_distribution_is_refused(tmp_path: Path) -> None:
    """Before anything is changed."""
    if sys.platform != "linux":
        pytest.skip("the script is for Linux")
    script = (paths.checkout() / "vagrant" / "provision.sh").read_text(encoding="utf-8")
    (tmp_path / "os-release").write_text('ID=arch\nVERSION_ID=1\nPRETTY_NAME="Arch Linux"\n')
    script = script.replace("/etc/os-release", str(tmp_path / "os-release"))
    done = subprocess.run(["sh", "-c", script, "provision.sh", "nft", "x"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "error: this is Arch Linux, and what is known here is Debian 12" in done.stderr
