from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import ConflictError, UsageError
from labkit.runtime.network import portmap
from labkit.runtime.network.model import DEFAULT, PortMapping


@pytest.mark.parametrize(
    ("text", "mappings"),
    [
        ("6379:6379", [PortMapping(6379, 6379)]),
        ("80:8080/udp", [PortMapping(80, 8080, "udp")]),
        ("127.0.0.1:80:8080/tcp", [PortMapping(80, 8080, "tcp", "127.0.0.1")]),
        ("0.0.0.0:80:80", [PortMapping(80, 80)]),
        ("80", [PortMapping(0, 80)]),
        ("53/udp", [PortMapping(0, 53, "udp")]),
        ("127.0.0.1::80", [PortMapping(0, 80, "tcp", "127.0.0.1")]),
        ("8000-8001:80-81", [PortMapping(8000, 80), PortMapping(8001, 81)]),
        ("80-81", [PortMapping(0, 80), PortMapping(0, 81)]),
    ],
)
def test_dockers_forms(text: str, mappings: list[PortMapping]) -> None:
    assert portmap.parse(text) == mappings


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", ":80", "0:80", "80:65536", "-1:80", "a:b", "80:80/sctp", "1:2:3:4", "1.2.3.4.5:80:80", "٣:80"),
        *("8 0:80", "80-79", "8000-8005:80", "8000-8001:80-85", "1-:2-"),
    ],
)
def test_anything_else_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        portmap.parse(text)
    assert "\n" not in caught.value.message
    assert caught.value.hint


@given(st.text(alphabet="0123456789.:-/tcpud", max_size=30) | st.text(max_size=30))
def test_no_text_makes_anything_but_mappings_or_a_usage_error(text: str) -> None:
    try:
        mappings = portmap.parse(text)
    except UsageError:
        return
    for mapping in mappings:
        assert 0 <= mapping.host_port <= 65535
        assert 1 <= mapping.container_port <= 65535


def test_the_rules_say_what_the_lesson_shows() -> None:
    assert portmap.rules([PortMapping(80, 8080)], "10.77.0.9", DEFAULT).describe() == (
        "iptables -t nat -A LABKIT -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.77.0.9:8080\n"
        "iptables -t nat -A LABKIT-HAIRPIN -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.77.0.9:8080\n"
        "iptables -t filter -A LABKIT -d 10.77.0.9 -p tcp -m tcp --dport 8080 -j ACCEPT"
    )


def test_a_port_that_a_process_has_is_refused_and_a_free_one_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ConflictError, match=f"port {port}/tcp cannot be published"):
            portmap.check_free(PortMapping(port, 80, "tcp", "127.0.0.1"))
    portmap.check_free(PortMapping(port, 80, "tcp", "127.0.0.1"))
