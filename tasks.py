"""The lab's commands: ``invoke --list`` shows them, ``invoke --help TASK`` explains one.

Each task is a few lines over ``labkit.host``, which does the work. The modules are imported inside the tasks, since
a machine's back end (fabric, QMP) and the lessons' player (pytest) take longer to load than most tasks need to run.
"""

# ruff: noqa: PT028  (the task called "test" is not pytest's)

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from invoke.context import Context

from labkit.host.tasks.taskargs import LessonTask, end_usage_errors_as_ours, task

if TYPE_CHECKING:
    from labkit.host.machines.base import Machine

# invoke switches Python's byte-code cache off for all that it loads. Compiling labkit anew costs 0.2 s each time.
sys.dont_write_bytecode = False

end_usage_errors_as_ours()

MACHINE = "which machine of lab.yaml (without it: the default one)"
PROVIDER = "who runs it: qemu, libvirt, virtualbox, vmware_desktop, parallels, hyperv (default: lab.yaml's)"
JSON = "print JSON, for programs"
JUNIT = "also write the results to this file, as JUnit XML"
NAME = "a lesson; `invoke scenarios` lists them"


def the_machine(name: str | None, provider: str | None = None) -> Machine:
    """The machine called ``name`` in lab.yaml, or the default one, under the provider that it has, or gets."""
    from labkit.host import machines
    from labkit.host.lab import config

    return machines.open_machine(config.load().machine(name), provider)


def the_running_machine(name: str | None, provider: str | None = None) -> Machine:
    """The same, if it is running. ConflictError where it is not."""
    from labkit.host import machines

    return machines.check_running(the_machine(name, provider))


def say(sentence: str) -> None:
    """Tell a person how it ended. On standard error, since a task of the same command line may print data."""
    print(sentence, file=sys.stderr)


@task(machine=MACHINE, provider=PROVIDER)
def up(context: Context, machine: str | None = None, provider: str | None = None) -> None:
    """Start the machine; a no-op where it runs already.

    The first time ever this builds the guest image (a few minutes), the first time of a machine it boots and takes a
    snapshot, and from then on it loads the snapshot (seconds).

        invoke up
        invoke up scenario redis-nat
        invoke up --machine second
        invoke up --provider libvirt

    A machine keeps its provider until `destroy`, so that the other tasks need no --provider.
    """
    started = the_machine(machine, provider)
    started.up()
    say(f"The machine “{started.name}” is running. Next: `invoke scenarios` or `invoke ssh`.")


@task(machine=MACHINE, provider=PROVIDER)
def down(context: Context, machine: str | None = None, provider: str | None = None) -> None:
    """Stop the machine. The next `up` starts it from its snapshot.

    invoke down
    """
    stopped = the_machine(machine, provider)
    stopped.down()
    say(f"The machine “{stopped.name}” is stopped.")


@task(machine=MACHINE, provider=PROVIDER)
def destroy(context: Context, machine: str | None = None, provider: str | None = None) -> None:
    """Stop the machine and remove all of its files.

    The guest image stays, so that the next `up` takes no more than a boot.

        invoke destroy --machine second
    """
    destroyed = the_machine(machine, provider)
    destroyed.destroy()
    say(f"Nothing is left of the machine “{destroyed.name}”.")


@task(machine=MACHINE, provider=PROVIDER)
def reset(context: Context, machine: str | None = None, provider: str | None = None) -> None:
    """Give back a fresh machine: as at the end of its first `up`.

    Works whatever was broken in it, also when it hangs.

        invoke reset
    """
    the_machine(machine, provider).reset()


@task(machine="only this machine of lab.yaml", provider=PROVIDER, json=JSON)
def status(context: Context, machine: str | None = None, provider: str | None = None, json: bool = False) -> None:
    """Show the machines and what they are doing.

    invoke status
    invoke status --json | jq -r '.machines[].state'
    """
    from labkit.host import machines
    from labkit.host.lab import config, paths
    from labkit.host.tasks import listing

    lab = config.load()
    cells = [lab.machine(cell.machine) for cell in lab.matrix.cells if paths.machine_dir(cell.machine).exists()]
    # With --provider it is about one machine: each has a provider of its own.
    chosen = [lab.machine(machine)] if machine or provider else [*lab.machines.values(), *cells]
    listing.show_statuses([machines.open_machine(one, provider).status() for one in chosen], as_json=json)


@task(machine=MACHINE, provider=PROVIDER, command="run this and end with its exit status")
def ssh(context: Context, machine: str | None = None, provider: str | None = None, command: str | None = None) -> int:
    """Log in to the machine as root, or run one command in it.

    invoke ssh
    invoke ssh -c 'iptables -t nat -S'
    echo hello | invoke ssh -c cat
    """
    from labkit.host.tasks import shell

    return shell.run(the_running_machine(machine, provider).connection(), command)


@task(
    machine=f"{MACHINE}; `local` is this very Linux host",
    provider=PROVIDER,
    prefix="with --machine local: the directory for it (default: /opt/labkit, with links in /usr/local/bin)",
    remove="with --machine local: take it away again",
)
def deploy(
    context: Context,
    machine: str | None = None,
    provider: str | None = None,
    prefix: str | None = None,
    remove: bool = False,
) -> None:
    """Put this checkout's labkit into the running machine.

    Only what changed is sent. `up`, `reset` and `scenario` do this by themselves. With --machine local it is this
    very Linux host that gets labkit and labkit-oci, for podman for instance.

        invoke deploy
        sudo .venv/bin/invoke deploy --machine local
        sudo .venv/bin/invoke deploy --machine local --remove
    """
    from labkit.host.payload import installation
    from labkit.host.wire import deploy as deployment

    if installation.is_meant(machine, prefix, remove=remove):
        print(installation.deploy_or_remove(prefix, remove=remove))
        return
    print(deployment.deploy(the_running_machine(machine, provider).connection()))


@task(
    klass=LessonTask,
    name=NAME,
    machine=MACHINE,
    provider=PROVIDER,
    step="wait for Enter before each command",
    junit=JUNIT,
)
def scenario(
    context: Context,
    name: str,
    machine: str | None = None,
    provider: str | None = None,
    step: bool = False,
    junit: str | None = None,
) -> int:
    """Play a lesson on a fresh machine, and prove it.

    invoke scenario redis-nat
    invoke scenario redis-nat --step
    invoke scenario redis-nat --junit results.xml
    """
    return play(name, machine, provider, step=step, junit=junit)


@task(klass=LessonTask, name=NAME, machine=MACHINE, provider=PROVIDER, junit=JUNIT)
def check(
    context: Context, name: str, machine: str | None = None, provider: str | None = None, junit: str | None = None
) -> int:
    """Run a lesson's checks on what you did by hand.

    invoke ssh
    invoke check redis-nat
    """
    return play(name, machine, provider, junit=junit, checks_only=True)


def play(
    name: str,
    machine: str | None,
    provider: str | None,
    *,
    junit: str | None,
    step: bool = False,
    checks_only: bool = False,
) -> int:
    """Run a lesson, or only its checks. Its name is looked up first: that needs no machine."""
    from labkit.host import scenario as lessons

    lesson = lessons.find(name)
    report = lessons.report_file(junit)
    # A lesson starts its machine itself. Checks are about what was done in one that runs.
    played_on = the_running_machine(machine, provider) if checks_only else the_machine(machine, provider)
    return lessons.run(lesson.name, played_on, step=step, junit=report, checks_only=checks_only)


@task(
    iterable=("cell", "only"),
    cell="one cell, KERNEL,CGROUP,IPTABLES; may be repeated (without it: all)",
    only="one lesson; may be repeated (without it: all)",
    ci="the cells that are played for each change",
    list="play nothing; show the cells",
    merge="play nothing; make one summary of the JSON files in this directory",
    json="write JSON to this file, or to standard output for `-`",
    markdown="also write the summary to this file",
    junit="write a JUnit file for each cell into this directory",
    jobs="how many cells at once (default: 1)",
    fresh="forget what an interrupted run has recorded",
)
def matrix(
    context: Context,
    cell: list[str],
    only: list[str],
    ci: bool = False,
    list: bool = False,  # noqa: A002  (it is the option's name)
    merge: str | None = None,
    json: str | None = None,
    markdown: str | None = None,
    junit: str | None = None,
    jobs: str = "1",
    fresh: bool = False,
) -> int:
    """Play the lessons on many kernels, and say what works where.

    A cell is a kernel with a cgroup version and an iptables back end. Each is booted once. What a kernel lacks is
    stated, and fails where lab.yaml does not expect it. After Ctrl-C the same command goes on where it stopped.

        invoke matrix --list
        invoke matrix --ci --jobs 2 --markdown summary.md
        invoke matrix --cell 6.1,v1,legacy --only redis-nat
        invoke scenario redis-nat --machine cell-6.1-v1-legacy
    """
    from labkit.host.matrix import task as matrix_task

    outputs = matrix_task.Outputs(json, markdown, junit)
    if list:
        matrix_task.show(cell, json, ci=ci)
        return 0
    if merge:
        return matrix_task.merge(merge, cell, outputs, ci=ci)
    return matrix_task.play(cell, only, outputs, ci=ci, jobs=jobs, fresh=fresh)


@task(
    iterable=("only",),
    only="one benchmark; may be repeated (without it: all)",
    runs="how often each command is run (default: 21)",
    markdown="also write the table to this file",
    json=JSON,
)
def bench(context: Context, only: list[str], runs: str = "21", markdown: str | None = None, json: bool = False) -> int:
    """Measure labkit beside runc, podman and docker.

    On this Linux host, as root, in turns: only medians of one run can be compared. 1 where a figure was not reached.

        invoke bench
        invoke bench --only run --only exec --runs 51
    """
    from labkit.host.bench import task as bench_task

    return bench_task.bench(only, runs, markdown, json)


@task(json=JSON)
def scenarios(context: Context, json: bool = False) -> None:
    """List the lessons: how long they take and what they show.

    invoke scenarios
    invoke scenarios --json | jq -r '.scenarios[].name'
    """
    from labkit.host import scenario as lessons
    from labkit.host.tasks import listing

    listing.show_scenarios(lessons.catalogue(), as_json=json)


@task(json=JSON)
def doctor(context: Context, json: bool = False) -> int:
    """Examine this computer: has it all that the lab needs?

    invoke doctor
    """
    from labkit.host.checks import doctor as examination

    return examination.show(examination.examine(), as_json=json)


@task(machine=MACHINE, provider=PROVIDER, follow="go on until Ctrl-C", lines="how many of the last lines (default: 50)")
def logs(
    context: Context, machine: str | None = None, provider: str | None = None, follow: bool = False, lines: str = "50"
) -> None:
    """Show what the machine's console said.

    invoke logs
    invoke logs --lines 500
    invoke logs --follow
    """
    from labkit.host.machines import consolelog

    count = consolelog.line_count(lines)
    consolelog.show(the_machine(machine, provider), count, follow=follow)


@task(
    all="everything there is: more machines, more kernels, Vagrant, every moment of a kill",
    only="one stage: lint, unit, guest, machine, e2e or matrix",
    keyword="pytest's -k expression",
    machine=MACHINE,
    provider=PROVIDER,
)
def test(
    context: Context,
    all: bool = False,  # noqa: A002  (it is the option's name)
    only: str | None = None,
    keyword: str | None = None,
    machine: str | None = None,
    provider: str | None = None,
) -> int:
    """Run all the tests that can run here, and say which cannot.

    The tests boot a machine of their own; yours is not touched. Without --all it is what a change must pass.

        invoke test --only unit
        invoke test --all
    """
    from labkit.host.proof import testing

    return testing.run_tests(only, keyword, machine, provider, everything=all)


@task()
def lint(context: Context) -> int:
    """Check style, types and who imports whom.

    invoke lint
    """
    from labkit.host.proof import testing

    return testing.lint()


@task(provider="libvirt, the one whose boxes boot a kernel from a file", kernel="a name under kernels: in lab.yaml")
def box(context: Context, provider: str = "libvirt", kernel: str | None = None) -> None:
    """Make the lab's own Vagrant box from the guest image.

    `up --provider libvirt` does this by itself where there is none yet. For others: the box, its checksum and its
    catalogue are in the directory that is printed, and `vagrant box add` takes them.

        invoke box --provider libvirt
        invoke box --kernel 6.12
    """
    from labkit.host.image import box as boxes
    from labkit.host.lab import config

    boxes.check_provider(provider)
    lab = config.load()
    made = boxes.make(lab.kernel(kernel or lab.machine().kernel))
    print(made.path)
    say(f"The box {made.name}, version {made.version}, is made. Next: `invoke up --provider {provider}`.")


@task(yes="do not ask")
def clean(context: Context, yes: bool = False) -> int:
    """Remove all that labkit keeps: image, machines, reports.

    It is shown first, with its size, and you are asked.

        invoke clean
    """
    from labkit.host.tasks import cleaning

    return cleaning.clean(ask=not yes)
