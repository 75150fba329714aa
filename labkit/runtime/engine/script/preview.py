"""``labkit spec``: the specification of a container that is not made."""

from __future__ import annotations

import os

from labkit.errors import UsageError
from labkit.runtime.cgroups.detect import here
from labkit.runtime.engine.life.create import new_container
from labkit.runtime.engine.record.options import Options
from labkit.runtime.engine.spec import bundle
from labkit.runtime.images import store
from labkit.runtime.std import json


def specification(options: Options, rootfs: str) -> str:
    """As JSON. With a ``rootfs`` it holds nothing that only labkit's own run would make: it is a bundle's.

    Raises what ``run`` would raise for the same options.
    """
    image = store.find(options.image)
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
