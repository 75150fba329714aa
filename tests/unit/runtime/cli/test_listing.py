from __future__ import annotations

import json

import pytest

from labkit.runtime.cli import listing
from labkit.runtime.cli.flags import parse

HEADINGS = listing.headings("ID CreatedAt used", ID="BOX ID")
FOUND = [{"ID": "1", "CreatedAt": "now", "used": "2"}, {"ID": "3", "CreatedAt": "then", "used": "4"}]


def shown(found: list[dict[str, str]], *words: str) -> int:
    options, _ = parse(listing.OPTIONS, list(words), stop_at_first=False)
    columns = ("ID", "used")
    return listing.show(
        options, found, HEADINGS, columns, plain=dict, name=lambda one: f"box {one['ID']}", entry=lambda one: one
    )


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        ([], "BOX ID   USED\n1        2\n3        4\n"),
        (["-q"], "box 1\nbox 3\n"),
        (["--format", "{{.used}}"], "2\n4\n"),
        (["--format", "table {{.CreatedAt}}"], "CREATED AT\nnow\nthen\n"),
        (["-q", "--format", "{{.ID}}"], "1\n3\n"),
    ],
)
def test_a_list_as_it_is_asked_for(words: list[str], printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(FOUND, *words) == 0
    assert capsys.readouterr().out == printed


def test_json_is_all_that_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(FOUND, "--json", "-q") == 0
    assert json.loads(capsys.readouterr().out) == FOUND


@pytest.mark.parametrize(("words", "printed"), [([], "BOX ID   USED\n"), (["-q"], ""), (["--format", "{{.ID}}"], "")])
def test_nothing_is_a_heading_or_no_line_at_all(
    words: list[str], printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown([], *words) == 0
    assert capsys.readouterr().out == printed
