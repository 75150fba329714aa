"""``labkit run --dry-run``: the whole start as a shell script; ``labkit spec``: the specification that it would have.

Nothing is done and nothing is reserved.
"""

from __future__ import annotations

import os

from labkit import __version__
from labkit.errors import UsageError
from labkit.runtime.cgroups import group
from labkit.runtime.cgroups.detect import here
from labkit.runtime.engine.config import bundle, steps
from labkit.runtime.engine.life.create import new_container
from labkit.runtime.engine.record.options import Options
from labkit.runtime.engine.record.record import Container
from labkit.runtime.images import imagestore as images
from labkit.runtime.oci import plan as oci_plan
from labkit.runtime.oci import script, spec
from labkit.runtime.operations import Operation
from labkit.runtime.std import json, shlex


def render(options: Options, detach: bool, typed: list[str]) -> str:
    """``typed`` is the command line, for the first lines. Raises what ``run`` would raise for the same options."""
    if options.userns == "private":
        raise UsageError("--dry-run has no words for --userns private", "its numbers are written from outside, by hand")
    image = images.find(options.image)
    container = new_container(options, image)
    sections = [steps.creation(container)]
    container = steps.run(container, image, sections.extend, dry=True)
    hierarchies = here()
    specification = spec.parse(bundle.specification(container, image, hierarchies), container.directory)
    todo = oci_plan.make(specification, hierarchies)
    done = [operation for section in sections for operation in section.operations] + todo.host
    lines = _head(container, typed) + _undo(done, group.directories(specification.cgroups_path, hierarchies))
    for section in sections:
        if section.operations:
            lines += [f"# {section.title}", *[operation.describe() for operation in section.operations], ""]
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


def specification(options: Options, rootfs: str) -> str:
    """As JSON. With a ``rootfs`` it holds nothing that only labkit's own run would make: it is a bundle's.

    Raises what ``run`` would raise for the same options.
    """
    image = images.find(options.image)
    document = bundle.specification(new_container(options, image), image, here())
    if rootfs:
        if not os.path.isdir(rootfs):
            raise UsageError(f"--rootfs {rootfs} is no directory", "as 'labkit diff' or tar leave one")
        document["root"]["path"] = os.path.abspath(rootfs)
        del document["linux"]["cgroupsPath"]  # the runtime's own place, which it removes, too
        # What names the container lies in a directory that only a run makes; so does its network.
        document["mounts"] = [mount for mount in document["mounts"] if os.path.exists(_source(mount))]
        for namespace in document["linux"]["namespaces"]:
            if namespace["type"] == "network" and not os.path.exists(namespace.get("path", "/")):
                del namespace["path"]
    return json.dumps(document, indent=2)


def _source(mount: dict[str, str]) -> str:
    """What must be there: the source of a bind mount."""
    return mount["source"] if mount["type"] == "bind" else "/"
