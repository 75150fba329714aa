"""``invoke doctor``: what of this computer matters to the lab, and for each what is wrong and what to do.

It changes nothing, sends nothing beyond this computer, and an examination that itself fails stops no other.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

from rich.markup import escape

from labkit import log
from labkit.errors import LabkitError, MissingToolError
from labkit.host import terminal
from labkit.host.checks import computer, files, imagebuild, network, virtualisation
from labkit.host.checks.finding import Finding, Verdict, warning

Examination = Callable[[], Finding | None]
"""None: there is nothing of that here."""

EXAMINATIONS: dict[str, Examination] = {
    "architecture": computer.architecture,
    "python": computer.python,
    "memory": computer.memory,
    "disk for images": computer.disk_for_images,
    "disk for machines": computer.disk_for_machines,
    "qemu": virtualisation.qemu,
    "accelerator": virtualisation.accelerator,
    "image": imagebuild.image,
    "build rights": imagebuild.rights,
    "ports": network.ports,
    "localhost": network.localhost,
    "host name": network.host_name,
    "proxies": network.proxies,
    "lab.yaml": files.lab_file,
    "line endings": files.line_endings,
    "directory names": files.directory_names,
    "socket path": files.socket_path,
    "terminal": computer.terminal,
    "vagrant": virtualisation.vagrant,
    "vagrant providers": virtualisation.vagrant_providers,
}
"""In the order in which they are shown."""

_MARKS: dict[Verdict, str] = {
    "ok": "[green]ok[/]",
    "info": "[cyan]info[/]",
    "warning": "[yellow]warning[/]",
    "problem": "[bold red]problem[/]",
}


def examine() -> list[Finding]:
    """Run every examination; each in a cage of its own."""
    findings: list[Finding] = []
    with log.step("Examining this computer") as step:
        for name, examination in EXAMINATIONS.items():
            step.note(name)
            found = _examine_one(examination)
            if found is not None:
                findings.append(replace(found, name=name))
    return findings


def _examine_one(examination: Examination) -> Finding | None:
    try:
        return examination()
    except LabkitError as error:  # Such as a lab.yaml that does not parse, which several examinations need.
        return warning(error.message, error.hint or "Mend that first.")
    except Exception as error:  # (whatever a strange computer makes it raise: the other findings matter more)
        return warning(
            f"the examination itself failed: {type(error).__name__}: {error}",
            "This is a bug of the lab's doctor, not of your computer: please report this line.",
        )


def show(findings: Sequence[Finding], as_json: bool = False) -> int:
    """Print the findings on standard output; 6 (``MissingToolError``'s status) if there is a problem, else 0.

    A table on a terminal; elsewhere two lines at most for each (grep finds ``problem`` at a line's start), or a JSON
    list of objects with the keys ``name``, ``verdict``, ``what`` and ``remedy``.
    """
    if as_json:
        terminal.write_json([asdict(finding) for finding in findings])
    else:
        show_them = _show_table if sys.stdout.isatty() else _show_lines
        show_them(findings)
        print(_summary(findings))
    return MissingToolError.exit_status if any(finding.verdict == "problem" for finding in findings) else 0


def _show_table(findings: Sequence[Finding]) -> None:
    rows = []
    for finding in findings:
        what = escape(finding.what) + (f"\n[bold]→[/] {escape(finding.remedy)}" if finding.remedy else "")
        rows.append((_MARKS[finding.verdict], finding.name, what))
    terminal.print_table(("", "examined", "what was found"), rows)


def _show_lines(findings: Sequence[Finding]) -> None:
    for finding in findings:
        print(f"{finding.verdict:8} {finding.name}: {finding.what}")
        if finding.remedy:
            print(f"{'':8} -> {finding.remedy}")


def _summary(findings: Sequence[Finding]) -> str:
    problems, warnings = (sum(f.verdict == verdict for f in findings) for verdict in ("problem", "warning"))
    if problems:
        return f"{problems} of {len(findings)} findings must be mended before the lab works."
    remarks = f", {warnings} with a remark" if warnings else ""
    return f"The lab can work here ({len(findings)} findings{remarks})."
