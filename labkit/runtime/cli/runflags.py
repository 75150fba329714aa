"""The flags of ``run`` and ``create``, as docker writes them, and what they ask for."""

from __future__ import annotations

from labkit.errors import UsageError
from labkit.runtime.cli import limitflags, specflags, wordlists
from labkit.runtime.cli.flags import EXPLAIN, Flags, Option, VerbCall
from labkit.runtime.engine.config import bundle, environment
from labkit.runtime.engine.net import networking
from labkit.runtime.engine.record import restart
from labkit.runtime.engine.record.options import Options
from labkit.runtime.engine.record.record import check_name
from labkit.runtime.std.typing import Any

OPTIONS = (
    Option(("name",), "its name, for other commands and for people", "NAME", ""),
    Option(("interactive", "i"), "keep its standard input open, and pass our own on to it"),
    Option(("tty", "t"), "give it a terminal"),
    Option(("env", "e"), "an environment variable, may be repeated", "NAME=VALUE", many=True),
    Option(("publish", "p"), "[[ADDRESS:]HOST_PORT:]PORT[/udp], also ranges; may be repeated", "PORTS", many=True),
    Option(("network",), "bridge (the default), NETWORK, container:NAME, host or none", "MODE", "bridge"),
    Option(("network-alias",), "another name in its network, may be repeated", "NAME", many=True),
    Option(("ip",), "its address in its network", "ADDRESS", ""),
    Option(("hostname", "h"), "its host name (its id's first digits by default)", "NAME", ""),
    Option(("add-host",), "a line for its /etc/hosts, may be repeated", "NAME:ADDRESS", many=True),
    Option(("dns",), "a name server for its /etc/resolv.conf, may be repeated", "ADDRESS", many=True),
    Option(("dns-search",), "a domain to look short names up in, may be repeated", "DOMAIN", many=True),
    Option(("rm",), "remove it when it has ended"),
    Option(("log-driver",), "json-file (the default; local is taken for the same) or none", "NAME", ""),
    Option(
        ("log-opt",),
        "max-size=SIZE, 20m by default, and max-file=N, 5: what is kept of its output",
        "OPTION",
        many=True,
    ),
    Option(("restart",), "no, always, unless-stopped or on-failure[:TIMES]", "POLICY", ""),
    *limitflags.OPTIONS,
    *limitflags.DISK_OPTIONS,
    *specflags.OPTIONS,
    Option(("storage-driver",), "overlay or aufs (by default the first that is here)", "NAME", ""),
    Option(("runtime",), "labkit-oci (the default), runc or crun", "NAME", ""),
    EXPLAIN,
)


#: Flag -> the field that holds what was given, as it is.
_AS_GIVEN = {
    **{name: name for name in "name interactive tty publish network hostname dns dns_search restart runtime".split()},
    "network_alias": "network_aliases",
    "ip": "address",
    "add_host": "add_hosts",
    "rm": "auto_remove",
}


def wanted(call: VerbCall) -> Options:
    """Everything is looked at before anything is done. UsageError says what cannot be meant."""
    flags = call.options
    resources = limitflags.for_new(flags)
    if flags.name:
        check_name(flags.name)
    options = Options(
        image=call.arguments[0],
        command=call.arguments[1:],
        env=[*wordlists.variables(flags.env_file), *environment.entries(flags.env)],
        resources=resources,
        storage_driver=bundle.check_storage_driver(flags.storage_driver),
        **{field: getattr(flags, flag) for flag, field in _AS_GIVEN.items()},
        **_log(flags),
        **specflags.wanted(flags),
    )
    _check(options)
    return options


def _log(flags: Flags) -> dict[str, Any]:
    """The fields of engine/record/options.py for its log."""
    if not flags.log_driver and not flags.log_opt:
        return {}
    from labkit.runtime.engine.shim import logoptions  # local: few runs have any

    driver, options = logoptions.check(flags.log_driver, flags.log_opt)
    return {"log_driver": driver, "log_options": options}


def _check(options: Options) -> None:
    networking.check(options)
    restart.parse(options.restart)
    if options.restart not in ("", "no") and options.auto_remove:
        raise UsageError("--rm and --restart exclude one another", "leave one of them out")
