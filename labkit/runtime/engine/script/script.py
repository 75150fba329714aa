"""``labkit run --dry-run``: the whole start as a shell script. Nothing is done and nothing is reserved."""

from __future__ import annotations

from labkit import __version__
from labkit.errors import UsageError
from labkit.runtime.cgroups import group
from labkit.runtime.cgroups.detect import here
from labkit.runtime.engine.life.create import new_container
from labkit.runtime.engine.net import networking
from labkit.runtime.engine.record.options import Options
from labkit.runtime.engine.record.record import Container
from labkit.runtime.engine.spec import bundle, plan
from labkit.runtime.images import store as images
from labkit.runtime.oci import plan as oci_plan
from labkit.runtime.oci import script, spec
from labkit.runtime.operations import Operation
from labkit.runtime.std import shlex


def render(options: Options, detach: bool, typed: list[str]) -> str:
    """``typed`` is the command line, for the first lines. Raises what ``run`` would raise for the same options."""
    if options.userns == "private":
        raise UsageError("--dry-run has no words for --userns private", "its numbers are written from outside, by hand")
    image = images.find(options.image)
    container = new_container(options, image)
    sections: list[tuple[str, list[Operation]]] = [
        ("The name, and a writable layer of its own", plan.creation(container))
    ]
    container, network_sections = networking.preview(container)
    sections += network_sections
    if container.ports:
        sections.append(("The published ports: an address translation for each", networking.publishing(container)))
        forgotten = networking.forgetting(container)
        if forgotten:
            sections.append(("What the kernel remembers of the UDP ports (where conntrack(8) is)", forgotten))
    sections.append(
        (
            "The root file system: the image's layers, and the writable one on top",
            plan.root_filesystem(container, image),
        )
    )
    sections.append(("What names the container inside", networking.name_file_operations(container)))
    network = networking.operations(container)
    if network:
        sections.append(("The network namespace, and the cable into it", network))
    hierarchies = here()
    specification = spec.parse(bundle.specification(container, image, hierarchies), container.directory)
    todo = oci_plan.make(specification, hierarchies)
    done = [operation for _, operations in sections for operation in operations] + todo.host
    lines = _head(container, typed) + _undo(done, group.directories(specification.cgroups_path, hierarchies))
    for title, operations in sections:
        lines += [f"# {title}", *[operation.describe() for operation in operations], ""]
    process = script.render(
        specification,
        todo,
        hierarchies,
        container.run_directory,
        detached=detach,
        log=container.log_path or "/dev/null",
    )
    return "\n".join(lines) + "\n" + process


def _undo(done: list[Operation], groups: list[str]) -> list[str]:
    """The script's answer to the word ``undo``: first whoever runs in it, then everything in reverse."""
    commands = [line for operation in reversed(done) for line in operation.describe_undo().splitlines()]
    return [
        'if [ "${1:-}" = undo ]; then',
        "  set +e",
        *[f"  kill -9 $(cat {shlex.quote(place)}/cgroup.procs); sleep 0.2" for place in groups[:1]],
        *[f"  {command}" for command in commands],
        "  exit",
        "fi",
        "",
    ]


def _head(container: Container, typed: list[str]) -> list[str]:
    return [
        "#!/bin/bash",
        f"# labkit {__version__}: {shlex.join(['labkit', *typed])}",
        f"# makes the container {container.name} with bash, util-linux, iproute2, iptables and perl (bpf(2)).",
        "# Run it as root. labkit does not know this container: 'bash THIS_FILE undo' takes it back.",
        "set -euo pipefail",
        "",
    ]
