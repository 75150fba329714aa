"""Ports, names and proxies. Nothing here sends a packet beyond this computer: configuration is read, not tried."""

from __future__ import annotations

import concurrent.futures
import socket
import urllib.parse
import urllib.request

from labkit.host.checks.finding import Finding, info, ok, problem, warning
from labkit.host.lab import programs

LOOPBACK = "127.0.0.1"
PATIENCE = 5.0
"""Seconds for a name to resolve: SSH and sudo wait as long as the resolver does."""


def ports() -> Finding:
    """The machine's SSH port is a free one of the loopback device."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.bind((LOOPBACK, 0))
            listener.listen(1)
            port = listener.getsockname()[1]
            with socket.create_connection((LOOPBACK, port), timeout=PATIENCE):
                pass
    except OSError as error:
        return problem(
            f"a program cannot listen on {LOOPBACK} and be reached there: {error}",
            "Allow connections within this computer in its firewall or security program.",
        )
    return ok(f"a free port of {LOOPBACK} was bound and reached (this time {port})")


def localhost() -> Finding:
    """The one of the two names that must resolve without a network."""
    addresses = resolve("localhost")
    if addresses and LOOPBACK in addresses:
        return ok(", ".join(addresses))
    return warning(
        f"it resolves to {', '.join(addresses)}" if addresses else "it does not resolve",
        f"Add `{LOOPBACK} localhost` to the hosts file. (The lab itself says {LOOPBACK}, your browser may not.)",
    )


def host_name() -> Finding:
    """The other."""
    name = socket.gethostname()
    addresses = resolve(name)
    if addresses:
        return ok(f"{name} is {', '.join(addresses)}")
    return warning(
        f"{name} does not resolve within {PATIENCE:.0f} seconds: programs that ask for it will hang as long",
        f"Add `{LOOPBACK} {name}` to the hosts file.",
    )


def resolve(name: str) -> list[str]:
    """The addresses of a name, IPv4 first; empty if there are none or the resolver takes longer than ``PATIENCE``.

    In a thread, since getaddrinfo(3) knows no time limit. The thread is left behind when it hangs.
    """
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=1)
    try:
        found = pool.submit(socket.getaddrinfo, name, None, type=socket.SOCK_STREAM).result(timeout=PATIENCE)
    except (OSError, UnicodeError, concurrent.futures.TimeoutError):
        return []
    finally:
        pool.shutdown(wait=False)
    return list(dict.fromkeys(str(entry[4][0]) for entry in sorted(found, key=lambda entry: int(entry[0]))))


def proxies() -> Finding:
    """The environment's (on macOS and Windows also the system's) proxies, and apt's own."""
    found = {scheme: url for scheme, url in urllib.request.getproxies().items() if scheme in ("http", "https")}
    apt = _apt_proxy()
    if not found:
        what = f"none, except apt's {without_password(apt)}" if apt else "none"
        return info(what) if apt else ok(what)
    what = ", ".join(f"{scheme} by {without_password(url)}" for scheme, url in sorted(found.items()))
    if "https" in found and "http" not in found and not apt:
        return warning(
            f"{what}; none for http, by which Debian's packages come",
            "Set http_proxy too, or LABKIT_MIRROR to an https address, before the image is built.",
        )
    if "http" in found and "https" not in found:
        return warning(f"{what}; none for https, which pip uses", "Set https_proxy too.")
    if not urllib.request.proxy_bypass(LOOPBACK):
        return warning(
            f"{what}; also for this computer's own addresses",
            f"Set no_proxy=localhost,{LOOPBACK}: ports of the machine's containers are reached there.",
        )
    return info(what)


def _apt_proxy() -> str:
    """What apt is configured to use for http, or nothing."""
    return programs.said(["apt-config", "dump", "--format", "%v%n", "Acquire::http::Proxy"])


def without_password(url: str) -> str:
    """A proxy's address fit to be shown to a room: no user, no password."""
    try:
        parts = urllib.parse.urlsplit(url if "://" in url else f"//{url}")
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that cannot be read"
    return f"{parts.scheme + '://' if parts.scheme else ''}{parts.hostname or '?'}{port}"
