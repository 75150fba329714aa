"""What is done to containers that are there. Each function is a verb, and its docstring the verb's help."""

from __future__ import annotations

import sys

from labkit import log
from labkit.errors import MissingToolError, UsageError
from labkit.runtime.cli import table
from labkit.runtime.cli.flags import DRY_RUN, EXPLAIN, Option, VerbCall, verb
from labkit.runtime.engine.life import gc, stopping
from labkit.runtime.engine.record import record
from labkit.runtime.engine.record.record import Container
from labkit.runtime.kernel import signals
from labkit.runtime.std.collections.abc import Callable

# Imports in functions are of what the other verbs need not load: what starts a container, most of all.


def _each(call: VerbCall, act: Callable[[Container], object]) -> int:
    """In turn, and each name is printed when it is done; all are looked up before the first."""
    for word, container in [(word, record.find(word)) for word in call.arguments]:
        act(container)
        print(word)
    return 0


@verb(
    "CONTAINER …",
    Option(("attach", "a"), "show what it writes, and wait for its end"),
    Option(("interactive", "i"), "pass our standard input on to it"),
    EXPLAIN,
    most=-1,
)
def start(call: VerbCall) -> int:
    """Start containers that do not run: those that were created, and those that have ended.

    Examples:
      labkit start redis
      labkit start -a job            shows what it writes; the exit status is its own
      labkit start -ai box           types into it, too
      labkit start --explain redis   every operation as it is done
    """
    attached = call.options.attach or call.options.interactive
    if attached and len(call.arguments) > 1:
        raise UsageError("only one container can be attached to", "leave -a and -i out, or name one")
    from labkit.runtime.engine.life.start import start_again

    gc.collect_quietly()
    if attached:
        return start_again(record.find(call.arguments[0]), True, call.options.interactive)
    return _each(call, lambda container: start_again(container, attached=False, stdin=False))


def _explained(call: VerbCall, act: Callable[[Container], object]) -> Callable[[Container], None]:
    """``act``, which ends a container's run. Its shim takes that back and tells nobody: its journals say what."""

    def act_and_tell(container: Container) -> None:
        lines = stopping.end_of_run(container) if call.options.explain else []
        act(container)
        for line in lines:
            log.emit("undo", where="shim", command=line)

    return act_and_tell


def _scripts(call: VerbCall, render: Callable[[Container], str]) -> int:
    """``--dry-run``: a script for each; all are looked up before the first."""
    for container in [record.find(word) for word in call.arguments]:
        print(render(container), end="")
    return 0


@verb(
    "CONTAINER …",
    Option(("time", "t"), "how long to wait (10)", "SECONDS", None, kind="float"),
    EXPLAIN,
    DRY_RUN,
    most=-1,
)
def stop(call: VerbCall) -> int:
    """Stop containers: SIGTERM, and SIGKILL to those that have not ended in time.

    Examples:
      labkit stop redis
      labkit stop -t 0 $(labkit ps -q)
      labkit stop --dry-run redis          the same as a script, nothing done
    """
    seconds = _checked(call.options.time)
    if call.options.dry_run:
        from labkit.runtime.engine import scripts

        return _scripts(call, lambda one: scripts.stop(one, stopping.patience(one, seconds), call.words))
    return _each(call, _explained(call, lambda container: stopping.stop(container, seconds)))


def _checked(seconds: float | None) -> float | None:
    """UsageError for what cannot be waited for."""
    if seconds is not None and not 0 <= seconds <= 86400:  # not a number is not in between, either
        raise UsageError(f"-t {seconds:g} is not possible", "seconds from 0 (kills at once) to 86400")
    return seconds


@verb(
    "CONTAINER …",
    Option(("time", "t"), "how long to wait for its end (10)", "SECONDS", None, kind="float"),
    EXPLAIN,
    most=-1,
)
def restart(call: VerbCall) -> int:
    """Stop containers and start them again.

    Examples:
      labkit restart redis
      labkit restart -t 0 redis      kills it at once
    """
    seconds = _checked(call.options.time)
    from labkit.runtime.engine.life.start import start_again

    def stop_and_start(container: Container) -> None:
        stopping.stop(container, seconds)
        start_again(container, attached=False, stdin=False)

    return _each(call, stop_and_start)


@verb("CONTAINER …", Option(("signal", "s"), "by name or number (KILL)", "SIGNAL", "KILL"), EXPLAIN, most=-1)
def kill(call: VerbCall) -> int:
    """Send a signal (SIGKILL, if none is named) to the first process of containers.

    Examples:
      labkit kill redis
      labkit kill -s HUP web
    """
    number = signals.number(call.options.signal)
    return _each(call, lambda container: stopping.kill(container, number))


@verb("CONTAINER …", EXPLAIN, most=-1)
def pause(call: VerbCall) -> int:
    """Stop all processes of containers where they are; they notice nothing. 'labkit unpause' lets them go on.

    Examples:
      labkit pause redis
      labkit pause --explain redis      shows the line that does it

    A paused container answers nobody and uses no processor, and its memory stays. 'labkit stop' works on it,
    'labkit exec' does not.
    """
    return _each(call, stopping.pause)


@verb("CONTAINER …", EXPLAIN, most=-1)
def unpause(call: VerbCall) -> int:
    """Let paused containers go on.

    Examples:
      labkit unpause redis
      labkit unpause $(labkit ps -q)
    """
    return _each(call, stopping.unpause)


@verb(
    "CONTAINER …",
    Option(("force", "f"), "kill those that run"),
    EXPLAIN,
    DRY_RUN,
    Option(("volumes", "v"), "their volumes without names, too"),
    most=-1,
)
def rm(call: VerbCall) -> int:
    """Remove containers: their names, writable layers and logs.

    Examples:
      labkit rm redis
      labkit rm -f $(labkit ps -aq)     running ones, too
      labkit rm --dry-run redis         the same as a script, nothing done
      labkit rm -v redis                and the data that it kept in volumes without names
    """
    force, volumes = call.options.force, call.options.volumes
    if call.options.dry_run:
        from labkit.runtime.engine import scripts

        return _scripts(call, lambda container: scripts.remove(container, force, volumes, call.words))
    return _each(call, _explained(call, lambda container: stopping.remove(container, force, volumes)))


@verb("CONTAINER …", most=-1)
def wait(call: VerbCall) -> int:
    """Wait until containers have ended, and print their exit statuses.

    Examples:
      labkit wait job
      test "$(labkit wait job)" = 0 && echo done
    """
    from labkit.runtime.engine.life.start import wait as wait_for

    for container in [record.find(word) for word in call.arguments]:
        print(wait_for(container), flush=True)
    return 0


@verb(
    "CONTAINER",
    Option(("no-stdin",), "do not pass our standard input on"),
    Option(("sig-proxy",), "pass signals on (true)", "BOOLEAN", "true"),
)
def attach(call: VerbCall) -> int:
    """Show what a running container writes from now on, and type into it; the exit status is its own.

    Examples:
      labkit attach box              Ctrl-P Ctrl-Q leaves it running, where it has a terminal
      labkit attach --no-stdin redis

    Signals (as Ctrl-C) go to the container, unless --sig-proxy=false is given.
    """
    from labkit.runtime.engine.life.start import attach as attach_to

    container = record.find(call.arguments[0])
    return attach_to(container, not call.options.no_stdin, call.options.sig_proxy.lower() in ("true", "1", "t"))


@verb("CONTAINER NAME", EXPLAIN, least=2, most=2)
def rename(call: VerbCall) -> int:
    """Give a container another name.

    Examples:
      labkit rename redis store
      labkit rename --explain redis store
    """
    from labkit.runtime.engine.life.create import rename

    word, name = call.arguments
    rename(record.find(word), name)
    return 0


@verb("", Option(("force", "f"), "do not ask"), EXPLAIN, least=0, most=0)
def prune(call: VerbCall) -> int:
    """Remove all containers that do not run.

    Examples:
      labkit prune
      labkit prune -f               without a question
      labkit prune -f --explain
    """
    gc.collect_quietly()
    found = stopping.prunable()
    if found and not call.options.force:
        names = ", ".join(container.name for container in found)
        print(f"This removes {names}, with what they wrote. Go on? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            return 1
    removed, freed = stopping.prune(found)
    for container in removed:
        print(container.id)
    print(f"{len(removed)} containers removed, {table.size(freed)} freed", file=sys.stderr)
    return 0


@verb("", Option(("quiet", "q"), "print nothing"), least=0, most=0)
def gc_(call: VerbCall) -> int:
    """Take back what killed commands and containers left behind: mounts, links, rules, cgroups, namespaces, processes.

    Nothing is done to containers that are in good order. run, ps, stop and rm do the same by themselves, without a
    word; this command also asks the kernel, before and after, and names the links, network namespaces and rules that
    are gone by it, and those of labkit's that nobody is responsible for.

    Example:
      labkit gc
    """
    if call.options.quiet:
        gc.collect()
        return 0
    from labkit.runtime.engine.life import leftovers  # who wants no words waits for none

    try:
        before = leftovers.everything()
    except MissingToolError:
        gc.collect()  # which needs nobody's eyes
        raise
    cleaned = gc.collect()
    after = leftovers.everything()
    said = [f"cleaned up after {container_id[:12]}" for container_id in cleaned]
    said += [f"  {thing}" for thing, is_alive in before.items() if not is_alive and thing not in after]
    left = [f"  {thing}" for thing, is_alive in after.items() if not is_alive]
    said += ["nobody is responsible for, and no journal of labkit's tells of:", *left] if left else []
    print("\n".join(said or ["nothing to clean up"]))
    return 0
