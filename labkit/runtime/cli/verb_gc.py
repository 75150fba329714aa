"""Take back what killed commands and containers left behind: mounts, links, rules, cgroups, namespaces, processes.

Nothing is done to containers that are in good order. run, ps, stop and rm do the same by themselves, without a word;
this command also asks the kernel, before and after, and names the links, network namespaces and rules that are gone by
it, and those of labkit's that nobody is responsible for.

Example:
  labkit gc
"""

from __future__ import annotations

from labkit.errors import MissingToolError
from labkit.runtime.cli.flags import Command, Option, VerbCall
from labkit.runtime.engine.life import gc

COMMAND = Command(
    "",
    (Option(("quiet", "q"), "print nothing"),),
    least=0,
    most=0,
)


def main(call: VerbCall) -> int:
    """Clean up and say after whom, and what."""
    if call.options.quiet:
        gc.collect()
        return 0
    from labkit.runtime.engine.show import leftovers  # local: who wants no words waits for none

    try:
        before = leftovers.found()
    except MissingToolError:
        gc.collect()  # which needs nobody's eyes
        raise
    cleaned = gc.collect()
    after = leftovers.found()
    said = [f"cleaned up after {container_id[:12]}" for container_id in cleaned]
    said += [f"  {thing}" for thing, is_alive in before.items() if not is_alive and thing not in after]
    left = [f"  {thing}" for thing, is_alive in after.items() if not is_alive]
    said += ["nobody is responsible for, and no journal of labkit's tells of:", *left] if left else []
    print("\n".join(said or ["nothing to clean up"]))
    return 0
