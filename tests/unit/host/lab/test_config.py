from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import ConfigError, NotFoundError
from labkit.host.lab import config, yamlmarks
from labkit.host.lab.names import nearest, suggestion

KERNELS = 'kernels:\n  "6.1": {suite: bookworm, package: linux-image-cloud-amd64}\n'


def load(tmp_path: Path, text: str) -> config.Lab:
    file = tmp_path / "lab.yaml"
    file.write_text(text, encoding="utf-8")
    return config.load(file)


def test_the_lab_of_the_checkout() -> None:
    lab = config.load()
    assert lab.default_machine == "default"
    assert lab.machine() == lab.machines["default"] == config.MachineConfig("default")
    assert lab.kernel(lab.machine("second").kernel).package.startswith("linux-image-")


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    text = (
        "default-machine: b\nmachines:\n  a:\n"
        "  b: {provider: qemu, kernel: 6.10, cgroup: hybrid, iptables: legacy, memory: 2 GiB, cpus: 4,\n"
        "      options: {x: 1}}\n"
        "kernels:\n  6.10: {suite: s, package: p}\n  6.1: {suite: t, package: q}\n"
    )
    lab = load(tmp_path, text)
    assert lab.machine("a") == config.MachineConfig("a")
    # 6.10 is a name: as a number it would be 6.1.
    assert lab.machine() == config.MachineConfig("b", "qemu", "6.10", "hybrid", "legacy", 2048, 4, {"x": "1"})
    assert lab.kernel("6.10").suite == "s"


@pytest.mark.parametrize(("written", "mib"), [("512", 512), ("512 MiB", 512), ("512MiB", 512), ("1 GiB", 1024)])
def test_memory(tmp_path: Path, written: str, mib: int) -> None:
    assert load(tmp_path, f"machines: {{d: {{memory: {written}}}}}\n{KERNELS}").machine("d").memory_mib == mib


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("machines:\n  d: {\n", 3, "not YAML", "unclosed quote"),
        ("machines:\n\td: 1\n", 2, "not YAML", "tab"),
        ("a: 1\n---\nb: 2\n", 2, "not YAML", ""),
        ("machines: \x07\n", 1, "U\\+0007", "Remove"),
        ("", 1, "empty", "git checkout"),
        ("- 1\n", 1, "should be a mapping", ""),
        ("machins: {}\n", 1, "no key “machins”", "Did you mean machines?"),
        ("machines: {d: }\n", 1, "needs the key kernels", ""),
        ("machines: {}\n" + KERNELS, 1, "no machine", "default"),
        ("machines:\n  d:\n    cpu: 2\n" + KERNELS, 3, "no key “cpu”", "Did you mean cpus?"),
        ("machines:\n  d:\n    cpus: 1\n    cpus: 2\n" + KERNELS, 4, "twice; the first is on line 3", ""),
        ("machines:\n  d:\n    cpus: two\n" + KERNELS, 3, "whole number from 1 to 64, and is “two”", ""),
        ("machines:\n  d:\n    cpus: ٢\n" + KERNELS, 3, "whole number", ""),
        ("machines:\n  d:\n    cpus: [1]\n" + KERNELS, 3, "whole number from 1 to 64, and is a list", ""),
        ("machines:\n  d:\n    cpus:\n" + KERNELS, 3, "and is empty", ""),
        ("machines:\n  d:\n    memory: 1 TB\n" + KERNELS, 3, "size such as 1024 MiB", ""),
        ("machines:\n  d:\n    memory: 3\n" + KERNELS, 3, "between 256 MiB", ""),
        ("machines:\n  d:\n    cgroup: v3\n" + KERNELS, 3, "one of v2, v1, hybrid, and is “v3”", ""),
        ("machines:\n  d:\n    iptables: legcy\n" + KERNELS, 3, "one of nft, legacy", "Did you mean legacy?"),
        ("[" * 5000, 1, "nested too deeply", ""),
        ("machines:\n  d:\n    provider: kvm\n" + KERNELS, 3, "one of qemu", ""),
        ("machines:\n  d:\n    kernel: 6.2\n" + KERNELS, 3, "not under kernels", "Did you mean 6.1?"),
        ("machines:\n  d: 3\n" + KERNELS, 2, "a mapping, and is “3”", ""),
        ("machines:\n  ../x:\n    cpus: 1\n" + KERNELS, 2, "cannot be a machine's name", "lower-case"),
        ("default-machine: e\nmachines: {d: }\n" + KERNELS, 1, "no machine called “e”", "There are: d"),
        ("machines: {d: }\nkernels:\n  6.1:\n    suite: s\n", 3, "needs the key package", ""),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, line: int, message: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, text)
    assert caught.value.message.startswith(f"{tmp_path / 'lab.yaml'}:{line}: ")
    assert hint in caught.value.hint
    assert "\n" not in caught.value.message


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no file"):
        config.load(tmp_path / "lab.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(tmp_path)
    (tmp_path / "lab.yaml").write_bytes(b"machines:\n  caf\xe9: {}\n")
    with pytest.raises(ConfigError, match=r"lab\.yaml:2: the text is not UTF-8"):
        config.load(tmp_path / "lab.yaml")


def test_windows_editors_are_welcome(tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_bytes(
        b"\xef\xbb\xbf" + f"machines: {{d: }}\n{KERNELS}".replace("\n", "\r\n").encode()
    )
    assert config.load(tmp_path / "lab.yaml").default_machine == "d"


def test_the_environment_names_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.yaml").write_text(f"machines: {{other: }}\n{KERNELS}")
    monkeypatch.setenv("LABKIT_LAB", str(tmp_path / "other.yaml"))
    assert config.load().default_machine == "other"


def test_an_unknown_machine_is_answered_with_those_there_are(tmp_path: Path) -> None:
    lab = load(tmp_path, f"machines: {{default: , second: }}\n{KERNELS}")
    with pytest.raises(NotFoundError, match="no machine called “secnd”") as caught:
        lab.machine("secnd")
    assert caught.value.hint == "Did you mean second? There are: default, second."


@given(st.text(max_size=200))
def test_no_text_makes_anything_but_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        yamlmarks.parse(text, Path("lab.yaml")).mapping("a mapping", ("machines", "kernels"))


def test_nearest_names() -> None:
    known = ["overlay", "pid-1", "redis-nat"]
    assert nearest("redis", known) == ["redis-nat"]
    assert nearest("overaly", known) == ["overlay"]
    assert nearest("", known) == nearest("zzz", known) == []
    assert suggestion("zzz", known) == "There are: overlay, pid-1, redis-nat."
    assert suggestion("zzz", []) == "There are none."
