"""A compiled filter is kept, and only what is ours, and whole, is used again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from labkit.runtime.oci import default_seccomp, defaults, filtercache
from labkit.runtime.oci.spec import seccomp
from labkit.runtime.oci.spec.seccomp import Profile

pytestmark = pytest.mark.root


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    from labkit.runtime.std.json import dumps
    from labkit.runtime.text.document import Reader

    if not filtercache.has_library():
        pytest.skip("libseccomp is not installed")
    monkeypatch.setattr(filtercache, "DIRECTORY", str(tmp_path / "cache"))
    document = {"seccomp": default_seccomp.profile(list(defaults.CAPABILITIES))}
    return seccomp.read(Reader.parse(dumps(document).encode(), "x").child("seccomp"))


def _kept(tmp_path: Path) -> Path:
    (found,) = (tmp_path / "cache").iterdir()
    return found


def test_it_is_kept_for_root_alone_and_used_again(
    profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = filtercache.compiled(profile)
    assert _kept(tmp_path).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(filtercache, "_compile", lambda _: pytest.fail("it was compiled again"))
    assert filtercache.compiled(profile) == made


@pytest.mark.parametrize("harm", ["cut", "changed", "readable", "anothers", "link", "directory", "empty"])
def test_what_is_not_ours_or_not_whole_is_compiled_again(profile: Profile, tmp_path: Path, harm: str) -> None:
    made = filtercache.compiled(profile)
    file = _kept(tmp_path)
    data = file.read_bytes()
    wrong = bytes(len(made.program))
    if harm == "cut":
        file.write_bytes(data[:-8])
    elif harm == "changed":
        file.write_bytes(b"9" + data[1:])
    elif harm == "readable":
        file.write_bytes(data[: -len(wrong)] + wrong)
        file.chmod(0o644)
    elif harm == "anothers":
        file.write_bytes(data[: -len(wrong)] + wrong)
        os.chown(file, 1000, 1000)
    elif harm == "link":
        (tmp_path / "elsewhere").write_bytes(data[: -len(wrong)] + wrong)
        file.unlink()
        file.symlink_to(tmp_path / "elsewhere")
    elif harm == "directory":
        file.write_bytes(data[: -len(wrong)] + wrong)
        (tmp_path / "cache").chmod(0o755)
    else:
        file.write_bytes(b"")
    assert filtercache.compiled(profile) == made
