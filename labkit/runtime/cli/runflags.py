"""The flags of ``run`` and ``create``, as docker writes them, and what they ask for."""

from __future__ import annotations

import os

from labkit.errors import UsageError
from labkit.runtime.cli import limitflags, wordlists
from labkit.runtime.cli.flags import EXPLAIN, Flags, Option, VerbCall
from labkit.runtime.engine.config import bundle, rights
from labkit.runtime.engine.net import networking
from labkit.runtime.engine.record.options import Options, RestartPolicy, variables
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
    Option(("entrypoint",), "in place of the image's; '' removes it", "PROGRAM", None, kind="str"),
    Option(("env-file",), "variables from a file, one NAME=VALUE a line", "FILE", many=True),
    Option(("user", "u"), "NAME|UID[:GROUP|GID], as the container knows them", "USER", ""),
    Option(("group-add",), "one more group", "GROUP", many=True),
    Option(("workdir", "w"), "its working directory, made where it is missing", "DIRECTORY", ""),
    Option(("init",), "a small first process that reaps and passes signals on"),
    Option(("stop-signal",), "what 'labkit stop' sends first, as SIGQUIT", "SIGNAL", ""),
    Option(("stop-timeout",), "seconds between that and SIGKILL", "SECONDS", None, kind="int"),
    Option(("ulimit",), "a limit of its processes (getrlimit(2)), as nofile=1024:2048", "NAME=SOFT[:HARD]", many=True),
    Option(("oom-score-adj",), "-1000 to 1000: how soon it is killed for want of memory", "N", None, kind="int"),
    Option(("label", "l"), "a word about it, for people and filters", "NAME[=VALUE]", many=True),
    Option(("label-file",), "labels from a file, one a line", "FILE", many=True),
    Option(("cidfile",), "write its id to this file", "FILE", ""),
    Option(("pull",), "never or missing: labkit fetches no images", "WHEN", ""),
    Option(("cap-add",), "a capability more (capabilities(7)), or ALL", "NAME", many=True),
    Option(("cap-drop",), "one less, or ALL", "NAME", many=True),
    Option(
        ("security-opt",),
        "seccomp=FILE|unconfined|default, no-new-privileges, systempaths=unconfined, mask=PATHS, unmask=PATHS",
        "OPTION",
        many=True,
    ),
    Option(("privileged",), "all capabilities and devices, no filter, nothing hidden"),
    Option(("device",), "a device, or all in a directory: HOST[:CONTAINER[:rwm]]", "DEVICE", many=True),
    Option(("device-cgroup-rule",), "allow devices by number, as 'c 10:229 rwm'", "RULE", many=True),
    Option(("sysctl",), "a kernel parameter of its namespaces", "NAME=VALUE", many=True),
    Option(("volume", "v"), "[PATH|VOLUME:]PLACE[:ro], may be repeated", "VOLUME", many=True),
    Option(("mount",), "type=bind|volume|tmpfs,source=…,target=…[,readonly]", "MOUNT", many=True),
    Option(("tmpfs",), "a file system in memory, as /tmp:size=16m", "PLACE[:OPTIONS]", many=True),
    Option(("read-only",), "its root file system cannot be written to"),
    Option(("shm-size",), "size of /dev/shm, 64m by default", "SIZE", ""),
    Option(("pid",), "host or container:NAME: whose processes it sees", "MODE", ""),
    Option(("ipc",), "private, none, shareable, host or container:NAME", "MODE", ""),
    Option(("uts",), "host: it has the machine's name", "MODE", ""),
    Option(("userns",), "host (the default), or private: its root has no rights out here", "MODE", ""),
    Option(("cgroupns",), "private (the default) or host", "MODE", ""),
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
        env=[*wordlists.variables(flags.env_file), *variables(flags.env)],
        resources=resources,
        storage_driver=bundle.check_storage_driver(flags.storage_driver),
        **{field: getattr(flags, flag) for flag, field in _AS_GIVEN.items()},
        **_log(flags),
        **_spec(flags),
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
    RestartPolicy(options.restart)
    if options.restart not in ("", "no") and options.auto_remove:
        raise UsageError("--rm and --restart exclude one another", "leave one of them out")


def _spec(flags: Flags) -> dict[str, Any]:
    """The fields of engine/record/options.py for what it is: its process, rights, files and namespaces.

    What the words of a flag mean is said where they are used (rights, mountflags, deviceoptions, sharednamespaces).
    """
    found: dict[str, Any] = {}
    if flags.pull not in ("", "never", "missing"):
        raise UsageError(f"--pull {flags.pull} is not possible: labkit fetches no images", "see 'labkit load'")
    if flags.entrypoint is not None:
        found["entrypoint"] = [flags.entrypoint] if flags.entrypoint else []
    for name in ("user", "init", "stop_timeout", "cap_add", "cap_drop", "privileged", "read_only", "cidfile"):
        found[name] = getattr(flags, name)
    found["groups"] = flags.group_add
    found["workdir"] = flags.workdir
    if flags.workdir and (not flags.workdir.startswith("/") or "\0" in flags.workdir):
        raise UsageError(f"--workdir '{flags.workdir}' is no absolute path", "it begins with /, and is the container's")
    _process(flags, found)
    _rights(flags, found)
    _files(flags, found)
    _namespaces(flags, found)
    return found


def _process(flags: Flags, found: dict[str, Any]) -> None:
    if flags.stop_signal:
        from labkit.runtime.kernel import signals  # local, as below: few runs have any

        signals.number(flags.stop_signal)
        found["stop_signal"] = flags.stop_signal
    if flags.stop_timeout is not None and flags.stop_timeout < -1:
        raise UsageError(f"--stop-timeout {flags.stop_timeout} is not possible", "seconds, or -1 to wait for ever")
    found["oom_score_adj"] = limitflags.checked(flags, "oom-score-adj", -1000, 1000)
    if flags.label or flags.label_file:
        found["labels"] = wordlists.labels(flags.label, flags.label_file)
    found["ulimits"] = [wordlists.ulimit(text) for text in flags.ulimit]
    if flags.user and (flags.user.startswith(":") or "\0" in flags.user or flags.user.count(":") > 1):
        raise UsageError(f"--user '{flags.user}' names no user", "write NAME or UID, and :GROUP or :GID where it must")


def _rights(flags: Flags, found: dict[str, Any]) -> None:
    if flags.cap_add or flags.cap_drop:
        rights.check_capabilities(flags.cap_add, flags.cap_drop)
    if flags.security_opt:
        found["security"], found["seccomp"] = rights.security(flags.security_opt)
    if flags.device or flags.device_cgroup_rule:
        from labkit.runtime.engine.config import deviceoptions

        found["devices"] = [deviceoptions.parse(text) for text in flags.device]
        found["device_rules"] = [deviceoptions.parse_rule(text) for text in flags.device_cgroup_rule]
    if flags.sysctl:
        found["sysctls"] = dict(map(_assignment, flags.sysctl))


def _files(flags: Flags, found: dict[str, Any]) -> None:
    if flags.volume or flags.mount or flags.tmpfs:
        from labkit.runtime.engine.record import mountflags

        found["mounts"] = mountflags.parse_all(flags.volume, flags.mount, flags.tmpfs)
    if flags.shm_size:
        found["shm_size"] = limitflags.parse_size(flags.shm_size)
        if not found["shm_size"]:
            raise UsageError("--shm-size 0 is not possible", "leave it out, or --ipc none for no /dev/shm")
    if flags.cidfile:
        if os.path.exists(flags.cidfile):
            raise UsageError(
                f"the file {flags.cidfile} for --cidfile is there already", "another container's id may be in it"
            )
        found["cidfile"] = os.path.abspath(flags.cidfile)


#: Flag -> what it may say, besides ``container:NAME`` where that is possible.
_MODES = {
    "pid": ("", "host", "private"),
    "ipc": ("", "host", "private", "shareable", "none"),
    "uts": ("", "host", "private"),
    "userns": ("", "host", "private"),
    "cgroupns": ("", "host", "private"),
}
_JOINABLE = ("pid", "ipc")


def _namespaces(flags: Flags, found: dict[str, Any]) -> None:
    for name, words in _MODES.items():
        mode = getattr(flags, name)
        joins = name in _JOINABLE and mode.startswith("container:") and len(mode) > len("container:")
        if mode not in words and not joins:
            more = " or container:NAME" if name in _JOINABLE else ""
            raise UsageError(f"--{name} {mode} is not possible", f"one of {', '.join(words[1:])}{more}")
        found[name] = "" if mode == "private" and name != "userns" else mode
    if flags.userns == "private" and (flags.privileged or flags.pid or flags.ipc not in ("", "private")):
        raise UsageError(
            "--userns private goes with neither --privileged nor the namespaces of others", "leave one of them out"
        )


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals or "\0" in text:
        raise UsageError(f"--sysctl '{text}' names no value", "write NAME=VALUE")
    return name, value
