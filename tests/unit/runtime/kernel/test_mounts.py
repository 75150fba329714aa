from __future__ import annotations

from pathlib import Path

from labkit.runtime.kernel import mounts


def test_the_mount_table_is_read_with_its_escapes(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text("22 1 8:1 / / rw - ext4 /dev/vda rw\n23 22 0:5 / /a\\040b\\134c rw shared:1 - tmpfs none rw\n")
    assert mounts.mount_points(str(table)) == [("/", "ext4"), ("/a b\\c", "tmpfs")]
