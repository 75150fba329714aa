"""Limits that few containers have: disks, huge pages, network classes, RDMA, and v2's files by their names. Pure."""

from __future__ import annotations

from labkit.errors import ConfigError
from labkit.runtime.cgroups.grouptree import Settings, add
from labkit.runtime.std.typing import Any

#: The specification's name -> v1's file, and the key in v2's io.max.
_THROTTLES = {
    "throttleReadBpsDevice": ("blkio.throttle.read_bps_device", "rbps"),
    "throttleWriteBpsDevice": ("blkio.throttle.write_bps_device", "wbps"),
    "throttleReadIOPSDevice": ("blkio.throttle.read_iops_device", "riops"),
    "throttleWriteIOPSDevice": ("blkio.throttle.write_iops_device", "wiops"),
}


def add_v1(settings: Settings, resources: dict[str, Any]) -> None:
    """Add them in v1's terms. ConfigError for ``unified``, which is v2's."""
    block = resources.get("blockIO", {})
    for name, file in (("weight", "weight"), ("leafWeight", "leaf_weight")):
        if block.get(name):
            _v1_weight(settings, file, str(block[name]), f"blockIO.{name}")
        for entry in block.get("weightDevice", []):
            if entry.get(name):
                _v1_weight(settings, f"{file}_device", f"{_device(entry)} {entry[name]}", "blockIO.weightDevice")
    for name, (file, _) in _THROTTLES.items():
        for entry in block.get(name, []):
            # 0 takes the limit off (cgroup-v1/blkio-controller.rst).
            add(settings, "blkio", file, f"{_device(entry)} {entry['rate']}", f"blockIO.{name}")
    _huge_pages(settings, resources, "limit_in_bytes")
    network = resources.get("network", {})
    if network.get("classID"):
        add(settings, "net_cls", "net_cls.classid", network["classID"], "network.classID")
    for entry in network.get("priorities", []):
        text = f"{entry['name']} {entry['priority']}"
        add(settings, "net_prio", "net_prio.ifpriomap", text, "network.priorities")
    _rdma(settings, resources)
    if resources.get("unified"):
        raise ConfigError(
            "invalid configuration: cannot use unified on cgroup v1",
            "linux.resources.unified names files of cgroup v2, and this machine's controllers are on v1",
        )


def add_v2(settings: Settings, resources: dict[str, Any]) -> None:
    """Add them in v2's terms. ConfigError for what only v1 has."""
    block = resources.get("blockIO", {})
    if block.get("weight"):
        converted = ("io.weight", f"default {io_weight(block['weight'])}")
        add(settings, "io", "io.bfq.weight", block["weight"], "blockIO.weight", converted)
    if block.get("leafWeight") or any(entry.get("leafWeight") for entry in block.get("weightDevice", [])):
        raise _only_v1("blockIO.leafWeight", "a group's own processes have no weight there")
    for entry in block.get("weightDevice", []):
        if entry.get("weight"):
            converted = ("io.weight", f"{_device(entry)} {io_weight(entry['weight'])}")
            value = f"{_device(entry)} {entry['weight']}"
            add(settings, "io", "io.bfq.weight", value, "blockIO.weightDevice", converted)
    for name, (_, key) in _THROTTLES.items():
        for entry in block.get(name, []):
            rate = entry["rate"] or "max"
            add(settings, "io", "io.max", f"{_device(entry)} {key}={rate}", f"blockIO.{name}")
    _huge_pages(settings, resources, "max")
    if resources.get("network"):
        raise _only_v1("network", "packets are told apart by their cgroup there (iptables -m cgroup --path)")
    _rdma(settings, resources)
    for name, text in resources.get("unified", {}).items():
        # The name begins with its controller; those of the core begin with cgroup. Each line is a write of its own.
        for line in text.splitlines() or [""]:
            add(settings, name.split(".", 1)[0], name, line, f'unified resource "{name}"')


def io_weight(weight: int) -> int:
    """v1's 10 to 1000 as v2's 1 to 10000, as runc and crun do it: a straight line."""
    return max(1, 1 + (weight - 10) * 9999 // 990)


def _device(entry: dict[str, Any]) -> str:
    return f"{entry['major']}:{entry['minor']}"


def _v1_weight(settings: Settings, file: str, value: str, what: str) -> None:
    # CFQ's file (until Linux 4.20); from then on it is BFQ that weighs, and its files are called after it.
    add(settings, "blkio", f"blkio.{file}", value, what, (f"blkio.bfq.{file}", value))


def _huge_pages(settings: Settings, resources: dict[str, Any], file: str) -> None:
    # The limit of reservations came with Linux 5.7; runc sets both where it can.
    for entry in resources.get("hugepageLimits", []):
        for name, optional in ((file, False), (f"rsvd.{file}", True)):
            full = f"hugetlb.{entry['pageSize']}.{name}"
            add(settings, "hugetlb", full, entry["limit"], "hugepageLimits", optional=optional)


def _rdma(settings: Settings, resources: dict[str, Any]) -> None:
    for device, entry in resources.get("rdma", {}).items():
        words = [
            f"{key}={entry[name]}"
            for name, key in (("hcaHandles", "hca_handle"), ("hcaObjects", "hca_object"))
            if entry.get(name) is not None
        ]
        add(settings, "rdma", "rdma.max", f"{device} {' '.join(words)}", f"rdma.{device}")


def _only_v1(name: str, why: str) -> ConfigError:
    return ConfigError(f"linux.resources.{name} cannot be set on cgroup v2: {why}", "take it out, or boot with v1")
