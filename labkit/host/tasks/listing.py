"""What ``invoke status`` and ``invoke scenarios`` print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from labkit.host.terminal import print_table, write_json

if TYPE_CHECKING:  # Importing the back ends or the lessons' player takes longer than printing a table.
    from labkit.host.machines.base import Status
    from labkit.host.scenario import Lesson


def show_statuses(statuses: Sequence[Status], as_json: bool) -> None:
    """Print machines.

    As JSON: ``{"machines": [{"name": str, "provider": str, "state": "absent"|"stopped"|"running"|"broken",
    "detail": str, "facts": {str: str|int|null}}]}``, in lab.yaml's order.
    """
    if as_json:
        write_json({"machines": [asdict(status) for status in statuses]})
        return
    rows = [
        (s.name, s.provider, f"[{_COLOURS.get(s.state, 'red')}]{s.state}[/]", "\n".join([*_facts(s), s.detail]).strip())
        for s in statuses
    ]
    print_table(("machine", "provider", "state", ""), rows)


def show_scenarios(scenarios: Iterable[Lesson], as_json: bool) -> None:
    """Print lessons.

    As JSON: ``{"scenarios": [{"name": str, "title": str, "minutes": int, "claims": [str], "needs": [str],
    "path": str}]}``, by name.
    """
    lessons = sorted(scenarios, key=lambda lesson: lesson.name)
    if as_json:
        keys = ("name", "title", "minutes", "claims", "needs", "path")
        write_json({"scenarios": [{key: getattr(lesson, key) for key in keys} for lesson in lessons]})
        return
    rows = [(s.name, f"{s.minutes} min", s.title, " ".join(s.claims)) for s in lessons]
    print_table(("lesson", "takes", "what it shows", "claims"), rows)


_COLOURS = {"running": "green", "stopped": "yellow", "absent": "dim"}


def _facts(status: Status) -> list[str]:
    """One line per fact that is known."""
    return [f"{name.replace('_', ' ')}: {value}" for name, value in status.facts.items() if value is not None]
