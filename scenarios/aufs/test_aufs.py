"""What the lesson aufs says, looked at from outside: by cat, find, modinfo and /proc, on aufs and on its stand-in."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from labkit.host.scenario import after

PLACE = "/root/lessons/aufs"
REAL, STAND_IN = "aufs", "fuse.fuse-overlayfs"
UNION = "see the steps “A home and a company” and “One mount”"
WRITE = "see the step “Write to what may only be read”"
DELETE = "see the step “Delete what may only be read”"


def kind(host: Host) -> str:
    """What is mounted at mnt: REAL or STAND_IN."""
    for line in host.file("/proc/mounts").content_string.splitlines():
        _, where, found, *_ = line.split()
        if where == f"{PLACE}/mnt":
            assert found in (REAL, STAND_IN), f"{where} is of the kind {found}, and not aufs or its stand-in; {UNION}"
            return found
    raise AssertionError(f"nothing is mounted at {PLACE}/mnt; {UNION}")


def content(host: Host, name: str, hint: str) -> str:
    """What the lesson's file ``name`` holds."""
    result = host.run("cat %s", f"{PLACE}/{name}")
    assert result.rc == 0, f"{PLACE}/{name} cannot be read; {hint}"
    return str(result.stdout).strip()


def hidden(host: Host) -> dict[str, str]:
    """Name -> form of each whiteout at home: ``name`` (an empty file .wh.NAME) or ``device`` (0/0)."""
    find = (
        r"cd %s && find . -mindepth 1 -maxdepth 1 \( -type c -o -name '.wh.*' \) -exec stat -c '%%n|%%F|%%t:%%T' {} +"
    )
    found = {}
    for line in host.run(find, f"{PLACE}/home").stdout.splitlines():
        name, what, device = line.removeprefix("./").split("|")
        if what == "regular empty file" and not name.startswith(".wh..wh."):
            found[name.removeprefix(".wh.")] = "name"
        elif what == "character special file" and device == "0:0":
            found[name] = "device"
    return found


@after("ask-the-kernel")
@pytest.mark.claim("B13")
@pytest.mark.needs("kernel-without-aufs")
def test_a_stock_kernel_has_overlay_and_device_mapper_and_no_aufs(host: Host) -> None:
    """overlay and the device-mapper come with the kernel's own source (`intree`); of aufs the kernel knows nothing."""
    for module in ("overlay", "dm-mod"):
        assert host.check_output("modinfo -F intree %s", module) == "Y", f"{module} is not of the kernel's own source"
    assert host.run("modinfo aufs").rc != 0, "there is a module called aufs"
    assert "aufs" not in host.file("/proc/filesystems").content_string.split()
    refused = host.run("mount -i -t aufs -o dirs=/tmp:/var/tmp none /mnt")
    assert refused.rc != 0, "the kernel mounted aufs"
    assert "unknown filesystem type" in refused.stderr


@after("one-mount")
@pytest.mark.claim("B1")
def test_the_union_shows_both(host: Host) -> None:
    """The mount of home over company shows what both hold together, what is hidden left out."""
    kind(host)
    branches = ["home", "company", *(["country"] if host.file(f"{PLACE}/country").exists else [])]
    entries = [set(host.check_output("ls %s", f"{PLACE}/{name}").split()) for name in branches]
    assert {"eat", "sleep"} <= entries[0], f"home does not hold eat and sleep; {UNION}"
    assert {"code", "meeting"} <= entries[1], f"company does not hold code and meeting; {UNION}"
    listed = set(host.check_output("ls %s", f"{PLACE}/mnt").split())
    expected = set().union(*entries) - set(hidden(host))
    assert listed == expected, f"mnt shows {', '.join(sorted(listed))}, and not {', '.join(sorted(expected))}; {UNION}"


@after("one-mount", by_hand=False)
@pytest.mark.claim("B2")
def test_the_leftmost_branch_takes_what_is_written(host: Host) -> None:
    """Nobody gave permissions: a new file goes to home, the leftmost, and company is not changed."""
    host.check_output("cd %s && touch mnt/visitor && test -e home/visitor && ! test -e company/visitor", PLACE)
    host.check_output("cd %s && rm mnt/visitor && ! test -e home/visitor", PLACE)
    if kind(host) == REAL:
        branches = host.check_output("cat /sys/fs/aufs/si_*/br?").split()
        assert branches == [f"{PLACE}/home=rw", f"{PLACE}/company=ro"]


@after("which-one-is-it", by_hand=False)
def test_the_stand_in_does_not_pass_for_aufs(host: Host) -> None:
    """Where the kernel has aufs it is aufs, and where it has not, nothing calls itself so."""
    known = "aufs" in host.file("/proc/filesystems").content_string.split()
    assert kind(host) == (REAL if known else STAND_IN)


@after("write-to-what-may-only-be-read")
@pytest.mark.claim("B3")
def test_copy_up(host: Host) -> None:
    """The write left the file of the company as it was; the changed copy is at home."""
    kind(host)
    for name, word, hint in (("company/code", "source", UNION), ("home/code", "apple", WRITE)):
        found = content(host, name, hint)
        assert found == word, f"{PLACE}/{name} says “{found}”, and not “{word}”; {hint}"
    seen = content(host, "mnt/code", UNION)
    assert seen == "apple", f"{PLACE}/mnt/code says “{seen}”, and not “apple”: is home the leftmost branch? {WRITE}"


@after("a-stack", by_hand=False)
@pytest.mark.claim("B4")
def test_the_upper_of_two_is_seen(host: Host) -> None:
    """Where two branches hold a name, the upper one's is seen; what only the lowest holds is seen, too."""
    kind(host)
    seen = host.check_output("cd %s && cat mnt/code mnt/meeting mnt/song country/meeting", PLACE)
    assert seen.split() == ["apple", "monday", "anthem", "holiday"]


@after("delete-what-may-only-be-read")
@pytest.mark.claim("B5")
def test_a_deletion_leaves_a_whiteout(host: Host) -> None:
    """The deleted file still lies in the company; at home something hides it, in the form of whoever made the union."""
    form = {REAL: "name", STAND_IN: "device"}[kind(host)]
    assert content(host, "company/meeting", UNION) == "monday", f"company/meeting is not what it was; {UNION}"
    found = hidden(host).get("meeting")
    assert found, f"no whiteout of meeting is in {PLACE}/home; {DELETE}"
    assert found == form, f"the whiteout of meeting is a {found}, and should be a {form} here; {DELETE}"
    assert not host.file(f"{PLACE}/mnt/meeting").exists, f"mnt/meeting is still to be seen; {DELETE}"


@after("a-whiteout-of-our-own", by_hand=False)
@pytest.mark.claim("B5")
def test_a_name_alone_hides_a_file(host: Host) -> None:
    """A file .wh.NAME in the upper branch hides NAME, whoever made it; what it hid is there again without it."""
    again = "umount mnt && mount -t aufs -o dirs=./home:./company:./country none ./mnt"
    host.check_output(f"cd %s && touch home/.wh.song && {again}", PLACE)
    without = host.check_output("ls %s", f"{PLACE}/mnt").split()
    host.check_output(f"cd %s && rm -f home/.wh.song && {again}", PLACE)
    assert "song" not in without
    assert "song" in host.check_output("ls %s", f"{PLACE}/mnt").split()


@after("put-everything-back", by_hand=False)
def test_nothing_is_left(host: Host) -> None:
    """No union is mounted any more, nobody stands in for one, and the lesson's directories are gone."""
    mounted = host.file("/proc/mounts").content_string
    assert f"{PLACE}/mnt" not in mounted
    assert host.run("pgrep -x fuse-overlayfs").rc != 0
    assert host.check_output("ls -A %s", PLACE) == ""
