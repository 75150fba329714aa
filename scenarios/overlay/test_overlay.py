"""What the lesson overlay says, looked at from outside: by stat, cat and /proc/mounts."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from labkit.host.scenario import PlayedLesson, after

PLACE = "/root/lessons/overlay"
CONTAINERS = "/var/lib/labkit/containers"
UNION = "see the steps “Two directories” and “One mount”"
WRITE = "see the step “Write to what may only be read”"
DELETE = "see the step “Delete what may only be read”"


def options(host: Host, mount_point: str) -> dict[str, str]:
    """The mount options of an overlay, by the kernel."""
    for line in host.file("/proc/mounts").content_string.splitlines():
        _, where, kind, words, *_ = line.split()
        if where == mount_point and kind == "overlay":
            return dict(word.partition("=")[::2] for word in words.split(","))
    raise AssertionError(
        f"no overlay is mounted at {mount_point}{f'; {UNION}' if mount_point.startswith(PLACE) else ''}"
    )


def content(host: Host, name: str, hint: str) -> str:
    """What the lesson's file ``name`` holds."""
    result = host.run("cat %s", f"{PLACE}/{name}")
    assert result.rc == 0, f"{PLACE}/{name} cannot be read; {hint}"
    return str(result.stdout)


@after("one-mount")
@pytest.mark.claim("B1")
def test_the_union_shows_both(host: Host) -> None:
    """The mount of home over company shows the entries of both."""
    options(host, f"{PLACE}/mnt")
    listed = [set(host.check_output("ls %s", f"{PLACE}/{name}").split()) for name in ("company", "home", "mnt")]
    assert listed[2] == listed[0] | listed[1], f"mnt does not show what company and home hold together; {UNION}"
    assert listed[2] == {"code", "eat", "meeting", "sleep"}, f"mnt shows {', '.join(sorted(listed[2]))}; {UNION}"


@after("one-mount", by_hand=False)
@pytest.mark.claim("B2")
def test_a_new_file_goes_to_the_upper_directory(host: Host) -> None:
    """The upper directory is the one that takes what is written, and the lower one is not changed."""
    assert options(host, f"{PLACE}/mnt")["upperdir"] == "home"
    host.check_output("cd %s && touch mnt/visitor", PLACE)
    assert host.file(f"{PLACE}/home/visitor").exists
    assert not host.file(f"{PLACE}/company/visitor").exists
    host.check_output("cd %s && rm mnt/visitor && ! test -e home/visitor", PLACE)


@after("write-to-what-may-only-be-read")
@pytest.mark.claim("B3")
def test_copy_up(host: Host) -> None:
    """The write left the lower file as it was; the changed copy is in the upper directory."""
    wanted = (("company/code", "source", UNION), ("home/code", "apple", WRITE), ("mnt/code", "apple", WRITE))
    for name, word, hint in wanted:
        found = content(host, name, hint).strip()
        assert found == word, f"{PLACE}/{name} says “{found}”, and not “{word}”; {hint}"


@after("a-stack", by_hand=False)
@pytest.mark.claim("B4")
def test_the_upper_of_two_is_seen(host: Host) -> None:
    """Where two directories of the stack hold a name, the upper one's is seen."""
    assert options(host, f"{PLACE}/mnt")["lowerdir"] == "company:country"
    seen = host.check_output("cd %s && cat mnt/meeting company/meeting country/meeting mnt/song", PLACE)
    assert seen.split() == ["monday", "monday", "holiday", "anthem"]


@after("delete-what-may-only-be-read")
@pytest.mark.claim("B5")
def test_a_deletion_leaves_a_whiteout(host: Host) -> None:
    """The deleted file is hidden by a character device 0/0 in the upper directory, and still lies in the lower one."""
    there = host.run("stat -c '%%F %%t:%%T' %s", f"{PLACE}/home/meeting")
    assert there.rc == 0, f"nothing called meeting is in {PLACE}/home; {DELETE}"
    assert there.stdout.strip() == "character special file 0:0", f"home/meeting is no whiteout; {DELETE}"
    assert content(host, "company/meeting", UNION) == "monday\n", f"company/meeting is not what it was; {UNION}"
    assert not host.file(f"{PLACE}/mnt/meeting").exists, f"mnt/meeting is still to be seen; {DELETE}"


@after("each-for-itself")
@pytest.mark.claim("B6")
def test_containers_share_the_layers_below(host: Host, lesson: PlayedLesson) -> None:
    """Containers of one image stand on the same read-only layers; each has a writable one of its own."""
    one, two = (options(host, f"/run/labkit/containers/{lesson.variable(name)}/rootfs") for name in ("one", "two"))
    assert one["lowerdir"] == two["lowerdir"]
    assert one["upperdir"] != two["upperdir"]
    three = options(host, f"/run/labkit/containers/{lesson.variable('three')}/rootfs")
    layers = three["lowerdir"].split(":")
    assert len(layers) == 2
    assert layers[-1] == one["lowerdir"], "redis does not stand on busybox's layer"


@after("each-for-itself")
@pytest.mark.claim("B6")
def test_a_shared_file_is_one_inode(host: Host, lesson: PlayedLesson) -> None:
    """A program of the shared layer has one inode, seen through two containers and in the layer itself."""
    roots = [f"/run/labkit/containers/{lesson.variable(name)}/rootfs" for name in ("one", "two", "three")]
    layer = options(host, roots[0])["lowerdir"]
    files = [f"{place}/bin/busybox" for place in (layer, *roots)]
    inodes = host.check_output("stat -c %%i %s %s %s %s", *files).split()
    assert len(inodes) == 4
    assert len(set(inodes)) == 1, f"four different files: {inodes}"


@after("each-for-itself")
@pytest.mark.claim("B6")
def test_what_one_writes_is_in_its_own_layer_only(host: Host, lesson: PlayedLesson) -> None:
    """What one container wrote, changed and deleted is in its own layer, not in the other's or the image."""
    one, two = lesson.variable("one"), lesson.variable("two")
    layer = options(host, f"/run/labkit/containers/{one}/rootfs")["lowerdir"]
    kinds = host.check_output("cd %s && stat -c %%F note etc/passwd etc/group", f"{CONTAINERS}/{one}/upper")
    assert kinds.splitlines() == ["regular file", "regular file", "character special file"]
    assert host.run("cd %s && ls note etc/passwd etc/group", f"{CONTAINERS}/{two}/upper").stdout == ""
    assert "guest" not in host.file(f"{layer}/etc/passwd").content_string
    assert host.file(f"{layer}/etc/group").size > 0


@after("put-everything-back", by_hand=False)
def test_nothing_is_left(host: Host, lesson: PlayedLesson) -> None:
    """No overlay is mounted any more, the containers' layers are gone, and the lesson's directories too."""
    assert "overlay" not in host.file("/proc/mounts").content_string
    assert host.run("ls -d %s/%s", CONTAINERS, lesson.variable("one")).rc != 0
    assert host.check_output("ls %s", PLACE) == ""
