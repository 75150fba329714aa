"""``invoke test``: every test that can run here, and a table that also says what could not run, and why.

There are two tiers (``teststages``): the daily one, and ``--all``. Each stage runs even if one before it
failed; only the end-to-end tests are left out when the machine cannot be brought up at all, since that would be the
same message many times. The table ends with what the daily tier left out, and when ``--all`` last ran that here.
"""

from __future__ import annotations

import time
import traceback
from contextlib import ExitStack
from dataclasses import replace

from labkit.errors import LabkitError, UsageError
from labkit.host.machines import ownstate
from labkit.host.proof import linting, testreport, teststages
from labkit.host.proof.testreport import Outcome
from labkit.host.proof.teststages import Options, Stage


def run_tests(
    only: str | None = None,
    keyword: str | None = None,
    machine: str | None = None,
    provider: str | None = None,
    *,
    everything: bool = False,
) -> int:
    """Run the stages (all, or the group ``only``) and show the table; the exit status.

    0: everything that could run here passed, and that was something. 1: a test failed, or none ran.
    7: none failed, but the machine could not be brought up or was lost.
    """
    groups = list(dict.fromkeys(stage.group for stage in teststages.STAGES))
    if only is not None and only not in groups:
        raise UsageError(f"There is no stage named {only!r}.", f"Stages are: {', '.join(groups)}.")
    linting.require_tools("test")
    chosen = [stage for stage in teststages.STAGES if _is_chosen(stage, only, keyword, everything=everything)]
    if not chosen and keyword and only in ("lint", "matrix"):
        raise UsageError(f"The stage {only} has no tests that a keyword could choose.", "Leave --keyword out.")
    if not chosen:
        raise UsageError(f"The stage {only} belongs to `invoke test --all`.", f"`invoke test --all --only {only}`")
    outcomes = []
    with ExitStack() as at_the_end:
        at_the_end.enter_context(ownstate.ended_properly())
        options = Options(at_the_end, keyword, machine, only, provider, everything)
        for stage in chosen:
            testreport.headline(stage.title)
            outcomes.append(_run_stage(stage, options))
            testreport.closing_line(outcomes[-1])
            if everything and not keyword:
                testreport.remember(outcomes[-1])
    testreport.show(outcomes)
    if not everything and only is None:
        testreport.show_other_tier(
            [(stage.title, stage.more) for stage in teststages.STAGES if stage.more], testreport.remembered()
        )
    return testreport.exit_status(outcomes)


def _is_chosen(stage: Stage, only: str | None, keyword: str | None, *, everything: bool) -> bool:
    if only not in (None, stage.group) or (stage.only_all and not everything):
        return False
    return not (keyword and stage.group in ("lint", "matrix"))


def lint() -> int:
    """``invoke lint``: 0 when there is nothing to say, 1 otherwise. MissingToolError without the linters."""
    linting.require_tools("lint")
    return linting.show(linting.run())


def _run_stage(stage: Stage, options: Options) -> Outcome:
    """One stage, timed; what a user can mend becomes an outcome, so that the next stage still runs."""
    started = time.monotonic()
    try:
        outcome = stage.run(stage, options)
    except LabkitError as error:  # Only the machine raises these: no QEMU, no image, no answer.
        outcome = Outcome(stage.title, "unreachable", why=f"{error.message} {error.hint}".strip())
    except Exception as error:  # A bug of ours, which must not take the other stages and the table with it.
        traceback.print_exc()
        outcome = Outcome(stage.title, "failed", why=f"a bug of labkit's own: {type(error).__name__}: {error}")
    if outcome.verdict != "passed" and outcome.why:
        print(f"\n{stage.title}: {outcome.why}", flush=True)
    return replace(outcome, seconds=time.monotonic() - started)
