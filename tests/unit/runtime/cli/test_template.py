from __future__ import annotations

from typing import Any

import pytest

from labkit.errors import UsageError
from labkit.runtime.cli import gotypes, listing, template

ENTRY: dict[str, Any] = {
    "Id": "0123456789ab",
    "Name": "/web",
    "State": {
        "Status": "running",
        "Paused": False,
        "Running": True,
        "OOMKilled": False,
        "Pid": 7,
        "Health": gotypes.only_in_templates(None),
    },
    "Args": ["80", "81"],
    "Config": {"Cmd": ["sleep", "100"], "Entrypoint": gotypes.NO_LIST, "Volumes": gotypes.NO_MAP},
    "HostConfig": {"PidsLimit": None},
    "Labels": gotypes.Mapping({"b": "2", "a": "1"}),
    "Label": lambda name: {"a": "1"}.get(name, ""),
    "Ports": gotypes.Lists({"90/udp": gotypes.NO_LIST, "80/tcp": [{"HostIp": "1.2.3.4", "HostPort": "8080"}]}),
}


@pytest.mark.parametrize(
    ("written", "line"),
    [
        # Each line of this first part is what docker 20.10 printed for such a container.
        ("{{.Name}}: {{.State.Status}}", "/web: running"),
        ("{{.State.OOMKilled}} {{.HostConfig.PidsLimit}}", "false <nil>"),
        ("{{.Config.Cmd}} {{.Config.Entrypoint}} {{.Labels}} {{.Config.Volumes}}", "[sleep 100] [] map[a:1 b:2] map[]"),
        ("{{.State}}", "{running false true false 7 <nil>}"),
        ("{{.Ports}}", "map[80/tcp:[{1.2.3.4 8080}] 90/udp:[]]"),
        ('{{.Labels.none}} {{index .Labels "none"}}|', "<no value> |"),
        ("{{json .Args}}{{json .Config}}", '["80","81"]{"Cmd":["sleep","100"],"Entrypoint":null,"Volumes":null}'),
        ("{{range $k, $v := .Ports}}{{$k}} {{$v}};{{end}}", "80/tcp [{1.2.3.4 8080}];90/udp [];"),
        ('{{(index (index .Ports "80/tcp") 0).HostPort}}', "8080"),
        ('{{(index (index .Ports "80/tcp") 0).HostIP}} {{.ID}}', "1.2.3.4 0123456789ab"),
        ('{{join .Config.Cmd " "}}|{{len .Args}}|{{with .State.Health}}h{{else}}n{{end}}', "sleep 100|2|n"),
        ('{{slice .Name 1}} {{title "ab cd"}} {{pad "x" 1 2}}| {{truncate .Id 5}}', "web Ab Cd  x  | 01234"),
        ('{{split "a,b" ","}} {{len .Name}} {{.State.Pid | printf "%05d"}}', "[a b] 4 00007"),
        ('{{"x\\ty"}}', "x\ty"),
        # What else people type.
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ('{{if eq .State.Status "dead"}}1{{else if .State.Paused}}2{{else}}3{{end}}', "3"),
        ("{{if and .State.Health .State.Health.Status}}1{{else}}0{{end}}", "0"),
        ('{{or .HostConfig.PidsLimit "none"}} {{not .State.Paused}}', "none true"),
        ('{{with index .Ports "90/udp"}}{{(index . 0).HostPort}}{{else}}-{{end}}', "-"),
        ("{{range $i, $arg := .Args}}{{if $i}}, {{end}}{{$arg}}{{end}}", "80, 81"),
        (
            "{{range .Args}}{{.}} of {{$.Name}};{{end}}{{range .Config.Entrypoint}}x{{else}}none{{end}}",
            "80 of /web;81 of /web;none",
        ),
        ('{{range .Args}}{{if eq . "81"}}{{break}}{{end}}{{.}}{{end}}', "80"),
        ('{{range .Args}}{{if eq . "80"}}{{continue}}{{end}}{{.}}{{end}}', "81"),
        ("{{$n := len .Args}}{{$n = 9}}{{if true}}{{$n := 1}}{{end}}{{$n}}", "9"),
        ("a  {{- .Name -}}  b {{/* nothing */}}{{- /* nothing */ -}} c", "a/webb c"),
        ('{{.Id | printf "%.4s" | upper | printf "%-6s|"}}', "0123  |"),
        ('{{printf "%q %v %d%% %t %x" .Name .Args 3 true 255}}', '"/web" [80 81] 3% true ff'),
        ('{{print 1 2 "a" 3}} {{println "x" 1}}', "1 2a3 x 1\n"),
        ('{{lt 1 2}} {{ge 1 2}} {{ne "a" "b"}} {{eq 3 1 2 3}}', "true false true true"),
        ('{{.Label "a"}}{{.Label "b"}}|{{"}}"}}|{{`a"b`}}', '1|}}|a"b'),
        (r"{{upper .Name}}\t.", "/WEB\t."),
        ("no field", "no field"),
    ],
)
def test_what_people_type(written: str, line: str) -> None:
    assert template.render(written, [ENTRY]) == [line]


def test_a_table_has_a_heading_made_by_the_template() -> None:
    rows = [{"ID": "1", "Names": "web", "CreatedAt": "now", "Label": lambda _: "x"}]
    headings = listing.headings("ID Names CreatedAt", ID="CONTAINER ID")
    written = r'table {{.ID}}\t{{upper .Names}}\t{{.CreatedAt}}\t{{.Label "of"}}'
    assert template.listing(written, rows, headings) == [
        "CONTAINER ID   NAMES   CREATED AT   of",
        "1              WEB     now          x",
    ]
    assert template.listing("table {{.ID}}", [], headings) == ["CONTAINER ID"]
    with pytest.raises(UsageError):  # also where the list is empty
        template.listing("table {{.Name}}", [], headings)


def test_json_alone_is_the_whole_without_what_only_templates_see() -> None:
    assert template.render("json", [{"a": 1, "b": [True, None]}, {"a": "<é>"}]) == [
        '{"a":1,"b":[true,null]}',
        '{"a":"<é>"}',
    ]
    assert "Health" not in template.render("json", [ENTRY])[0]
    assert template.render("{{json .}}", [{"a": "\udcff"}]) == ['{"a":"\N{REPLACEMENT CHARACTER}"}']


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            "{{.State.OOMKiled}}",
            "character 3, '.State.OOMKiled': there is no field '.State.OOMKiled', the nearest is '.State.OOMKilled'",
        ),
        ("{{.OOMKilled}}", "the nearest is '.State.OOMKilled'"),
        ("{{.name}}", "the nearest is '.Name'"),
        ("{{range .Ports}}{{range .}}{{.HostPrt}}{{end}}{{end}}", "'.HostPrt', the nearest is '.HostPort'"),
        ("{{$s := .State}}{{$s.Pit}}", "the nearest is '$s.Pid'"),
        ("{{.Zzz}}", "there is no field '.Zzz'"),
        ("{{.Name.More}}", "'.Name' has no fields"),
        ("{{.Name", "{{ has no end"),
        ("{{.Name}", "character 8, '}': that is not understood"),
        ("{{}}", "nothing between"),
        ("{{range .Args}}", "{{range}} has no {{end}}"),
        ("{{if .Name}}a{{else}}b", "{{if}} has no {{end}}"),
        ("a{{end}}", "character 4, 'end': there is nothing open"),
        ("{{break}}", "for the inside of {{range}}"),
        ("{{index .Args 9}}", "there is no number 9 in a list of 2"),
        ("{{json}}", "json cannot be called with 0"),
        ("{{foo .Name}}", "there is no function 'foo'"),
        ("{{range .Name}}{{end}}", "range cannot go through '/web'"),
        ("{{len .State.Pid}}", "'7' has no length"),
        ("{{join .Name}}", "join cannot be called with 1"),
        ('{{eq .State.Pid "7"}}', "cannot be compared"),
        ("{{lt .Args 1}}", "cannot be compared"),
        ('{{printf "%d" .Name}}', "'/web' is no whole number"),
        ('{{printf "%s"}}', "printf has nothing for '%s'"),
        ('{{.Name "x"}}', "nothing can be given to it"),
        ("{{.Label}}", ".Label needs an argument"),
        ("{{$x}}", "there is no variable $x"),
        ("{{$x = 1}}", "there is no variable $x"),
        ("{{(.Name}}", "a bracket is not closed"),
        ("{{.Name |}}", "a command is missing"),
        ('{{template "x"}}', "no {{template}}"),
        ('{{"a"b}}', "a blank is missing"),
        ("{{if}}{{end}}", "nothing between"),
        ("{{slice .Name 3 9}}", "not within 0 to 4"),
        ('{{.Label "a" "b"}}', ".Label cannot be called with 2 of these"),
        ("{{.Label .}}", ".Label cannot be called with 1 of these"),
        ('{{(index . "Label") "a" "b"}}', "that cannot be called with 2 of these"),
        ('{{printf "%99999999999s" .Name}}', "printf cannot put '/web' in place of '%99999'"),
        ('{{printf "%.99999999999s" .Name}}', "printf cannot put '/web' in place of '%.99999'"),
        ('{{pad "x" 99999999999 1}}', "99999999999 is not within 0 to 9999"),
        ('{{pad "x" 1 -1}}', "-1 is not within 0 to 9999"),
        ("{{truncate .Id -3}}", "-3 is not within 0 to"),
        (f"{{{{{'9' * 5000}}}}}", "a blank is missing"),
    ],
)  # fmt: skip
def test_what_cannot_be_followed_is_refused_with_its_place(written: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        template.render(written, [ENTRY])
    assert said in refused.value.message
    assert "\n" not in refused.value.message
