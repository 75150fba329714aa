"""docker's names and values in what labkit shows: as a docker that was asked said them (docker-20.10.json)."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dockerinspect
from conftest import labkit

from labkit.runtime.images import imagestore
from labkit.runtime.std.dataclasses import replace


def shown() -> dict[str, Any]:
    """What labkit says where docker-20.10.json has what docker said; the containers must be there."""
    with ThreadPoolExecutor() as pool:  # (stats takes a second by itself)
        lists = [pool.submit(entry, *words) for words in (("ps", "--no-trunc", "-l"), ("stats",), ("images",))]
        inspected = pool.map(one, ("plain", "furnished", "busybox"))
        found = dict(zip(("plain", "furnished", "image"), inspected))
        return {**found, **dict(zip(dockerinspect.LISTS, [future.result() for future in lists]))}


def one(name: str) -> Any:
    (found,) = json.loads(labkit("inspect", name).stdout)
    return found


def entry(*words: str) -> Any:
    return json.loads(labkit(*words, "--format", "json").stdout.splitlines()[0])


def complaints(dockers: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """All that a user of docker would miss, or would find to be something else."""
    found = []
    for part, path in {"plain": "", "furnished": "", "image": "image"}.items():
        found += [f"{part} has no {key}" for key in dockerinspect.missing(dockers[part], ours[part], path)]
        found += [f"{part} should have no {key}" for key in dockerinspect.invented(dockers[part], ours[part], path)]
        found += [f"{part}: {line}" for line in dockerinspect.different(dockers[part], ours[part], path)]
    for verb in dockerinspect.LISTS:
        found += [f"{verb} has no {key}" for key in dockerinspect.missing(dockers[verb], ours[verb], verb)]
        found += [f"{verb}: {key} is no text" for key, value in ours[verb].items() if not isinstance(value, str)]
    return found


def test_inspect_and_the_lists_have_dockers_names_and_values(tmp_path: Path) -> None:
    labkit("run", "-d", "--name", "plain", *dockerinspect.PLAIN)
    labkit("run", "-d", "--name", "furnished", *dockerinspect.furnished(tmp_path))
    ours = json.loads(json.dumps(shown()).replace(str(tmp_path), "/place"))
    labkit("rm", "-f", "-v", "furnished")
    labkit("volume", "rm", "labkit-data")
    assert complaints(dockerinspect.recorded(), ours) == []


def test_a_container_has_its_images_labels_and_its_own() -> None:
    image = imagestore.find("busybox")
    labels = {"a": "1", "b": "2"}
    imagestore.save(replace(image, reference="labelled:latest", config={**image.config, "Labels": labels}))
    try:
        labkit("create", "--label", "b=3", "labelled", "true")
        assert labkit("ps", "-a", "--filter", "label=a=1", "--format", "{{.Labels}}").stdout == "a=1,b=3\n"
    finally:
        os.unlink(f"{imagestore.IMAGES}/labelled%3Alatest.json")
