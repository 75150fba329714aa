from __future__ import annotations

import pytest

from labkit.cli import template
from labkit.errors import UsageError

ENTRY = {"Name": "web", "State": {"Status": "running", "Paused": False}, "Ports": ["80", "81"], "Labels": {"a": "b"}}


@pytest.mark.parametrize(
    ("written", "line"),
    [
        ("{{.Name}}", "web"),
        ("{{ .Name }}: {{.State.Status}}", "web: running"),
        ("{{.State.Paused}}", "false"),
        ("{{json .State}}", '{"Status": "running", "Paused": false}'),
        ("{{.Ports}} {{len .Ports}} {{index .Ports 1}}", '["80", "81"] 2 81'),
        ('{{index .Labels "a"}}{{index .Labels "none"}}', "b"),
        (r"{{upper .Name}}\t.", "WEB\t."),
        ("no field", "no field"),
    ],
)
def test_what_people_type(written: str, line: str) -> None:
    assert template.render(written, [ENTRY]) == [line]


def test_a_table_has_a_heading() -> None:
    assert template.render(r"table {{.Name}}\t{{.State.Status}}", [ENTRY]) == ["NAME   STATUS", "web    running"]
    assert template.render("table {{.CreatedAt}}", []) == ["CREATED AT"]


def test_json_alone_is_the_whole() -> None:
    assert template.render("json", [{"a": 1}, {"a": 2}]) == ['{"a": 1}', '{"a": 2}']


@pytest.mark.parametrize(
    "written", ["{{.None}}", "{{.Name.More}}", "{{", "{{}}", "{{range .Ports}}", "{{index .Ports 9}}", "{{json}}"]
)
def test_what_cannot_be_read_is_refused(written: str) -> None:
    with pytest.raises(UsageError):
        template.render(written, [ENTRY])
