from __future__ import annotations

import pytest

from labkit.errors import ConfigError
from labkit.host.lab.config import MachineConfig
from labkit.host.machines import firstboot

CONFIG = MachineConfig("it", cgroup="v1", iptables="legacy")


def test_a_machine_as_lab_yaml_says() -> None:
    firstboot.compare(["v1", "legacy"], CONFIG, "6.1")


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (["v2", "legacy"], r"shall have cgroup v1, and with the kernel 7\.9 it gets v2"),
        (["hybrid", "legacy"], "cgroup v1, .* it gets hybrid"),
        (["v1", "none"], r"iptables legacy, .* it gets none"),
        (["v1", "nft"], r"iptables legacy, .* it gets nft"),
    ],
)
def test_a_mode_that_the_kernel_cannot_give_is_said(found: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        firstboot.compare(found, CONFIG, "7.9")
    assert "lab.yaml" in caught.value.hint
