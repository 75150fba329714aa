"""Delete a container that has stopped, and all that it holds."""

from __future__ import annotations

import os

from labkit.errors import LabkitError, NotFoundError, UsageError
from labkit.runtime.cli.flags import Command, Option
from labkit.runtime.cli.oci.report import Invocation
from labkit.runtime.oci import lifecycle, state

COMMAND = Command(
    "CONTAINER",
    (
        Option(("force", "f"), "kill it first, if it runs; no error if there is none"),
        Option(("regex",), "CONTAINER is a regular expression: delete all in whose ids it is found, as crun does"),
    ),
    examples=("delete redis", "delete --force redis", "delete --force --regex '^test-'"),
)


def main(call: Invocation) -> int:
    """Delete it. With ``--regex`` the status is 1 where one of them could not be deleted; the others are."""
    if call.options.regex:
        return _delete_all(call)
    container_id = state.check_id(call.arguments[0])
    if call.options.force and not os.path.isdir(os.path.join(call.root, container_id)):
        return 0
    try:
        lifecycle.delete(call.root, container_id, call.options.force, call.report.warning)
    except NotFoundError:
        if not call.options.force:
            raise
    return 0


def _delete_all(call: Invocation) -> int:
    import re  # local: few ask for it

    try:
        wanted = re.compile(call.arguments[0])
    except re.error as error:
        raise UsageError(f"invalid regular expression: {call.arguments[0]}", str(error)) from None
    # With --force those whose state cannot be read, too.
    ids = state.ids(call.root) if call.options.force else [container.id for container in state.every(call.root)]
    status = 0
    for container_id in ids:
        if wanted.search(container_id):
            try:
                lifecycle.delete(call.root, container_id, call.options.force, call.report.warning)
            except NotFoundError:  # somebody else did
                continue
            except LabkitError as error:
                call.report.warning(error.message)
                status = 1
    return status
