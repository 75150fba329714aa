"""docker runs its containers by labkit-oci: a real daemon, containerd and its shim, and a hook for the network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dockerinspect
import pytest
from bundles import Bundle
from clients import Client
from conftest import on_a_terminal, wait_for
from programs import LABKIT_OCI

from labkit.runtime.cli import template

_NAMESPACE = "labkit-docker"

#: What docker's answer is the same for as that of labkit's templates to docker's JSON, which does not tell a map from a
#: struct, nor which value is a number that is not there.
_TEMPLATES = (
    "{{.Name}} {{.State.Status}} {{.State.OOMKilled}} {{.Config.Cmd}} {{.HostConfig.RestartPolicy.Name}}",
    "{{json .State}}{{json .Config}}{{json .HostConfig.PortBindings}}",
    '{{join .Config.Cmd " "}} {{len .Config.Cmd}} {{index .Config.Cmd 0}} {{slice .Name 1}}{{println .Path}}',
    "{{range .NetworkSettings.Networks}}{{.IPAddress}}/{{.IPPrefixLen}}{{end}}",
    "{{range $k, $v := .NetworkSettings.Ports}}{{$k}}{{range $i, $p := $v}} {{$i}}{{.HostPort}}{{end}}{{end}}",
    '{{if .State.Running}}up{{else}}down{{end}} {{if eq .State.Status "dead" "running"}}1{{else if true}}2{{end}}',
    '{{with .Config.Env}}{{json .}}{{else}}none{{end}} {{- /* comment */ -}}  {{printf "%-9s|%05d|%q" .Path 7 .Name}}',
    '{{$n := .Name}}{{range .Config.Cmd}}{{.}} of {{$n}} and {{$.Path}} {{end}}{{.Name | upper | printf "%.3s"}}',
    '{{split "a,b" ","}} {{title "ab cd"}} {{pad "x" 1 2}}| {{truncate .Path 2}}',
    '{{not .State.Paused}} {{lt 1 2}} {{print 1 2}} {{print "a" 1}} {{and 0 1}} {{or 0 "x"}} {{len .Mounts}}',
)  # fmt: skip


class Docker(Client):
    """docker with a daemon of its own, in a network namespace of its own (its bridge and rules go with that)."""

    def __init__(self, directory: Path) -> None:
        self.inside = ["nsenter", f"--net=/run/netns/{_NAMESPACE}"]
        self.command = ["docker", "-H", f"unix://{directory}/docker.sock"]
        self.log = directory / "log"
        daemon = [*self.inside, "dockerd", "-H", f"unix://{directory}/docker.sock", "--pidfile", f"{directory}/pid"]
        daemon += ["--data-root", f"{directory}/data", "--exec-root", f"{directory}/exec", "--storage-driver", "vfs"]
        daemon += ["--default-ulimit", "nofile=20000:20000", "--add-runtime", f"labkit={LABKIT_OCI[0]}"]
        daemon += ["--default-runtime", "labkit"]
        with open(self.log, "wb") as log:
            self.daemon = subprocess.Popen(daemon, stdout=log, stderr=log)

    def says(self, name: str, field: str) -> str:
        """What ``inspect`` has in that field."""
        return self("inspect", "--format", f"{{{{{field}}}}}", name).strip()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """docker with one image. Skipped where it is missing, or its daemon cannot work at all."""
    for program in ("docker", "dockerd"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed here")
    directory = tmp_path_factory.mktemp("docker")
    before = _groups()
    subprocess.run(["ip", "netns", "add", _NAMESPACE], check=True)
    docker = Docker(directory)
    try:
        subprocess.run(["ip", "-n", _NAMESPACE, "link", "set", "lo", "up"], check=True)
        answers = wait_for(lambda: docker.daemon.poll() is not None or docker.attempt("info").returncode == 0, 60)
        if not answers or docker.daemon.poll() is not None:
            last = docker.log.read_text(errors="replace").strip().splitlines()[-1:]
            pytest.skip(f"dockerd does not work here: {' '.join(last)}")
        docker.takes(Bundle(directory / "image").rootfs, "busybox")
        yield docker
    finally:
        docker.daemon.terminate()
        docker.daemon.wait(timeout=60)
        subprocess.run(["ip", "netns", "delete", _NAMESPACE], check=True)
        for group in reversed(_groups()):
            if group not in before:
                os.rmdir(group)


def _groups() -> list[str]:
    return sorted(place for place, _, _ in os.walk("/sys/fs/cgroup") if "/docker" in place)


@pytest.fixture
def docker(daemon: Docker) -> Iterator[Docker]:
    """docker without containers, before and after."""
    yield daemon
    names = daemon("ps", "-aq").split()
    if names:
        daemon("rm", "-f", *names)


def test_run_gives_output_and_status(docker: Docker) -> None:
    assert docker("run", "--rm", "busybox", "echo", "hello") == "hello\n"
    for program, status in ((("sh", "-c", "exit 42"), 42), (("nowhere",), 127), (("/etc",), 126)):
        done = docker.attempt("run", "--rm", "busybox", *program)
        assert done.returncode == status, done.stderr


def test_a_container_in_the_background(docker: Docker) -> None:
    script = "trap 'exit 7' TERM; echo started; while :; do sleep 0.1; done"
    docker("run", "-d", "--name", "one", "--memory", "64m", "--pids-limit", "50", "busybox", "sh", "-c", script)
    assert wait_for(lambda: docker("logs", "one") == "started\n")
    inside = docker("exec", "-u", "1000", "-w", "/tmp", "-e", "X=set", "one", "sh", "-c", "id -u; pwd; echo $X")
    assert inside.split() == ["1000", "/tmp", "set"]
    assert docker.attempt("exec", "one", "sh", "-c", "exit 9").returncode == 9
    assert "/dev/pts/0" in on_a_terminal([*docker.command, "exec", "-it", "one", "tty"])
    assert "trap 'exit 7' TERM" in docker("top", "one")
    assert "64MiB" in docker("stats", "--no-stream", "one")
    docker("pause", "one")
    assert docker.says("one", ".State.Status") == "paused"
    docker("unpause", "one")
    docker("update", "--memory", "80m", "--memory-swap", "160m", "one")
    assert "80MiB" in docker("stats", "--no-stream", "one")
    docker("stop", "-t", "10", "one")
    assert docker.says("one", ".State.Status .State.ExitCode".replace(" ", "}} {{")) == "exited 7"
    docker("start", "one")
    assert wait_for(lambda: docker("logs", "one") == "started\nstarted\n")
    docker("kill", "one")
    assert docker.says("one", ".State.ExitCode") == "137"


def test_limits_and_rights(docker: Docker) -> None:
    options = ["--rm", "--user", "1000", "--cap-drop", "all", "--read-only", "--tmpfs", "/t:size=1m"]
    script = "id -u; grep CapEff /proc/self/status; touch /x 2>&1; df /t | grep -o ' 1024 ' | head -n 1"
    assert docker("run", *options, "busybox", "sh", "-c", script).splitlines() == [
        "1000",
        "CapEff:\t0000000000000000",
        "touch: /x: Read-only file system",
        " 1024 ",
    ]
    assert docker.attempt("run", "--memory", "16m", "busybox", "tail", "-c", "100m", "/dev/zero").returncode == 137


def test_a_port_and_what_another_shares(docker: Docker) -> None:
    """docker moves its end of the network in by a prestart hook; the second container joins all it can."""
    page = "mkdir -p /w; echo page > /w/index.html; exec httpd -f -p 80 -h /w"
    docker("run", "-d", "--name", "web", "--ipc", "shareable", "-p", "127.0.0.1:8099:80", "busybox", "sh", "-c", page)
    fetch = [*docker.inside, "/bin/busybox", "wget", "-qO-", "http://127.0.0.1:8099/"]
    assert wait_for(lambda: subprocess.run(fetch, capture_output=True, check=False).stdout == b"page\n")
    joined = [word for kind in ("--network", "--pid", "--ipc") for word in (kind, "container:web")]
    script = "ps | grep -c '[h]ttpd -f'; wget -qO- http://127.0.0.1/"
    assert docker("run", "--rm", *joined, "busybox", "sh", "-c", script).split() == ["1", "page"]


def test_nothing_of_a_container_in_the_hosts_pid_namespace_stays(docker: Docker) -> None:
    """Its other processes outlive the first one; containerd ends them by ``kill --all``, and deletes it."""
    docker("run", "-d", "--name", "three", "--pid", "host", "busybox", "sh", "-c", "sleep 4321 & sleep 4321")
    pids = [line.split()[1] for line in docker("top", "three").splitlines()[1:]]
    assert len(pids) >= 2
    docker("kill", "three")
    assert wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))
    assert "failed to kill init's children" not in docker.log.read_text(errors="replace")


def test_docker_says_what_labkit_is_compared_with(docker: Docker, tmp_path: Path) -> None:
    """docker-20.10.json, and the templates of labkit, against a docker that runs."""
    client, server = docker("version", "--format", "{{.Client.Version}} {{.Server.Version}}").split()
    if not server.startswith("20.10."):
        pytest.skip(f"docker-20.10.json is of docker 20.10, and this is {server}")
    docker("run", "-d", "--name", "plain", *dockerinspect.PLAIN)
    docker("run", "-d", "--name", "furnished", *dockerinspect.furnished(tmp_path))
    said = docker("inspect", "plain", "furnished", "busybox").replace(str(tmp_path), "/place")
    found = dict(zip(("plain", "furnished", "image"), json.loads(said)))
    known = dockerinspect.recorded()
    for part in found:
        names = [{key for key, _ in dockerinspect.leaves(document[part], "")} for document in (found, known)]
        assert names[0] ^ names[1] == set(), part
        if client.startswith("20.10."):  # (a newer one asks for empty lists where this one asks for nothing)
            assert dockerinspect.different(known[part], found[part], "image" if part == "image" else "") == []
    written = "\n".join(_TEMPLATES)
    for name in ("plain", "furnished"):
        (document,) = json.loads(docker("inspect", name))
        assert docker("inspect", "-f", written, name) == template.render(written, [document])[0] + "\n"
    docker("rm", "-f", "-v", "furnished")
    docker("volume", "rm", "labkit-data")
