"""docs/claims.md and the lessons name the same claims."""

from __future__ import annotations

import re

from labkit.host.lab.paths import checkout
from labkit.host.scenario import catalogue


def test_the_list_has_a_row_for_each_claim_of_a_lesson() -> None:
    text = (checkout() / "docs" / "claims.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([A-Z]\d+) \| .+ \| (\S+) \|$", text, re.MULTILINE)
    proven = [(claim, lesson.name) for lesson in catalogue() for claim in lesson.claims]
    assert sorted(rows) == sorted(proven)
