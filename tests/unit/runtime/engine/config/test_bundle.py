from __future__ import annotations

import re
from typing import Any

import pytest

from labkit.runtime.std.dataclasses import replace

pytest.importorskip("fcntl", reason="the engine locks files as POSIX systems do")

from labkit.errors import UsageError
from labkit.runtime.cgroups.detect import Hierarchies
from labkit.runtime.engine.config import bundle, steps
from labkit.runtime.engine.net import networking
from labkit.runtime.engine.record import record
from labkit.runtime.engine.record.options import Options
from labkit.runtime.engine.record.record import Container
from labkit.runtime.images.imagestore import Image
from labkit.runtime.network.model import PortMapping
from labkit.runtime.oci import spec

IMAGE = Image("redis:latest", "f" * 64, ["a" * 64, "b" * 64], {"Cmd": ["redis-server"], "Env": ["A=1"]}, "", 1)
CONTAINER = Container(
    "0123456789ab" + "c" * 52,
    "box",
    "redis:latest",
    "f" * 64,
    ["redis-server"],
    0.0,
    Options("redis", publish=["80:8080"]),
)


def with_options(**given: Any) -> Container:
    return replace(CONTAINER, options=Options("redis", **given))


V2 = Hierarchies(v2="/sys/fs/cgroup")


def test_the_command_is_entry_point_and_arguments() -> None:
    with_entry = replace(IMAGE, config={"Entrypoint": ["/entry"], "Cmd": ["default"]})
    assert bundle.command_of(with_entry, Options("x")) == ["/entry", "default"]
    assert bundle.command_of(with_entry, Options("x", ["given"])) == ["/entry", "given"]
    with pytest.raises(UsageError, match="names no program"):
        bundle.command_of(replace(IMAGE, config={}), Options("x"))


def test_an_entry_point_of_ones_own_makes_the_images_command_meaningless() -> None:
    with_entry = replace(IMAGE, config={"Entrypoint": ["/entry"], "Cmd": ["default"]})
    assert bundle.command_of(with_entry, Options("x", ["a"], entrypoint=["/own"])) == ["/own", "a"]
    assert bundle.command_of(with_entry, Options("x", ["a"], entrypoint=[])) == ["a"]
    with pytest.raises(UsageError, match="names no program"):
        bundle.command_of(with_entry, Options("x", entrypoint=[]))


def test_a_later_variable_wins() -> None:
    env = bundle.environment_of(IMAGE, Options("x", env=["A=2", "B=x=y"]), "host")
    assert "A=2" in env
    assert "A=1" not in env
    assert "B=x=y" in env


def test_the_specification_is_one_that_the_runtime_takes() -> None:
    limits: dict[str, Any] = {"memory": {"limit": 67108864}, "cpu": {"quota": 50000, "period": 100000}}
    parsed = spec.parse(bundle.specification(with_options(resources=limits), IMAGE, V2), CONTAINER.directory)
    assert parsed.namespaces["net"] == "/run/netns/labkit-0123456789ab"
    assert set(parsed.namespaces) == {"pid", "mnt", "ipc", "uts", "cgroup", "net"}
    assert {name: values for name, values in parsed.resources.items() if name != "devices"} == limits
    on_host = spec.parse(bundle.specification(with_options(network="host"), IMAGE, V2), "/b")
    assert "net" not in on_host.namespaces


def test_who_cannot_be_kept_from_devices_cannot_make_any() -> None:
    filtered = spec.parse(bundle.specification(CONTAINER, IMAGE, V2), "/b")
    assert "b *:* m" in filtered.resources["devices"]
    assert "b *:* rwm" not in filtered.resources["devices"]
    assert all("CAP_MKNOD" in filtered.process.capabilities[name] for name in ("bounding", "effective", "permitted"))
    bare = spec.parse(bundle.specification(CONTAINER, IMAGE, Hierarchies(v1={"pids": "/p"})), "/b")
    assert bare.resources["devices"] == ("a *:* rwm",)
    assert not any("CAP_MKNOD" in names for names in bare.process.capabilities.values())


@pytest.mark.parametrize("name", ["", "-x", ".x", "a/b", "a b", "ä", "x" * 64, "a\n"])
def test_no_names(name: str) -> None:
    with pytest.raises(UsageError, match="is no container name"):
        record.check_name(name)


def _run(container: Container, monkeypatch: pytest.MonkeyPatch, port: PortMapping | None = None) -> list[str]:
    """The commands of its creation and its run, with ``ID`` for ids; its address is not looked for in this machine."""
    endpoint = networking.endpoint_record(container, 0, "10.77.0.2", {})
    joined = replace(container, endpoints={"labkit0": endpoint}, ports=[port or PortMapping(80, 8080)])
    monkeypatch.setattr(networking, "join", lambda container, do, dry: joined)
    monkeypatch.setattr("labkit.runtime.network.iptables.choose", lambda: "iptables")
    sections = [steps.creation(container)]
    assert steps.run(container, IMAGE, sections.extend) == joined
    described = [operation.describe() for section in sections for operation in section.operations]
    return [re.sub("[0-9a-f]{64}", "ID", command) for command in described]


def test_a_start_in_the_order_in_which_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = _run(CONTAINER, monkeypatch)
    assert commands[0] == "mkdir -p /var/lib/labkit/names && ln -s ID /var/lib/labkit/names/box"
    assert commands[4].splitlines()[0] == (
        "iptables -t nat -A LABKIT -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.77.0.2:8080"
    )
    assert commands[7] == (
        "mount -t overlay -o lowerdir=/var/lib/labkit/layers/ID/fs:/var/lib/labkit/layers/ID/fs,"
        "upperdir=/var/lib/labkit/containers/ID/upper,workdir=/var/lib/labkit/containers/ID/work "
        "overlay /run/labkit/containers/ID/rootfs"
    )
    assert commands[11] == "ip netns add labkit-0123456789ab"
    assert networking.operations(with_options(network="none")) == []
    assert networking.operations(with_options(network="host")) == []


def test_ports_are_forgotten_when_their_rules_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = _run(
        replace(CONTAINER, options=replace(CONTAINER.options, publish=["53:53/udp"])),
        monkeypatch,
        PortMapping(53, 53, "udp"),
    )
    assert commands[-1].startswith("conntrack -D -p udp --dport 53")
