"""A container's network: what it joins, and the files that name it inside."""

from __future__ import annotations

import os

from labkit.errors import ConflictError, UsageError
from labkit.runtime.network import ipam
from labkit.runtime.network.model import DEFAULT, Network, PortMapping
from labkit.runtime.operations import GoesAlong, Operation
from labkit.runtime.std.dataclasses import dataclass, replace
from labkit.runtime.std.shlex import quote
from labkit.runtime.std.typing import TYPE_CHECKING, Any
from labkit.runtime.text import textfile

if TYPE_CHECKING:
    from labkit.runtime.engine.record.options import Options
    from labkit.runtime.engine.record.record import Container
    from labkit.runtime.network.endpoint import Endpoint
    from labkit.runtime.operations import Section
    from labkit.runtime.std.collections.abc import Callable

_RESOLVER = "/etc/resolv.conf"
_ANOTHERS = "container:"

#: What --network means beside a network's name. (``bridge`` is labkit0.)
MODES = ("bridge", "host", "none")


def check(options: Options) -> None:
    """UsageError for a network mode, ports, names or addresses that cannot be; NotFoundError for no such network."""
    mode = options.network
    alone = mode in ("none", "host") or mode.startswith(_ANOTHERS)
    if options.publish:
        from labkit.runtime.network import portmap  # local: a container without a network starts faster

        portmap.check_distinct(portmap.parse_all(options.publish))
        if alone:
            raise UsageError(f"-p needs a bridge network, not '{mode}'", "leave --network out")
    if alone and (options.address or options.network_aliases):
        raise UsageError(f"an address or an alias needs a network, and '{mode}' is none", "give --network NAME")
    for flag, given in (("hostname", options.hostname), ("dns", options.dns), ("add-host", options.add_hosts)):
        if given and mode.startswith(_ANOTHERS):
            raise UsageError(f"--{flag} cannot be given with another container's network", "it has that one's names")
    if options.hostname and options.uts == "host":
        raise UsageError("--hostname and --uts host exclude one another", "leave one of them out")
    if not alone:
        _check_network(options)
    if options.dns or options.dns_search or options.add_hosts or options.hostname:
        _check_names(options)


def _check_network(options: Options) -> None:
    if options.network == "bridge" and not (options.network_aliases or options.address):
        return
    from labkit.runtime.network import definitions

    network = definitions.find(options.network)
    if options.publish:
        check_publishing(network)
    check_wish(network, options.address, options.network_aliases)


def check_wish(network: Network, address: str, aliases: list[str]) -> None:
    """UsageError for an address that is not of the network, or for aliases where there are no names."""
    if aliases and network == DEFAULT:
        raise UsageError("labkit0 has no names", "make a network: labkit network create NAME")
    if address and not ipam.is_host(address, network.subnet):
        raise UsageError(f"the address {address} is not of {network.name}'s subnet {network.subnet}", "leave it out")


def check_publishing(network: Network) -> None:
    """UsageError for a network into which no port can lead."""
    if network.internal or network.driver == "vlan":
        kind = "is internal" if network.internal else "is a VLAN, which reaches its containers directly"
        raise UsageError(f"no port can be published in {network.name}: it {kind}", "leave -p out")


def _check_names(options: Options) -> None:
    for server in options.dns:
        ipam.number_of(server)
    for entry in options.add_hosts:
        name, colon, address = entry.partition(":")
        if not (name and colon) or set(name) & set(" \t\n#"):
            raise UsageError(f"--add-host '{entry}' names no host", "write NAME:ADDRESS")
        if ":" not in address:  # IPv6 is the reader's business
            ipam.number_of(address)
    for domain in options.dns_search:
        if not domain or not _is_of_names_letters(domain):
            raise UsageError(f"--dns-search '{domain}' names no domain", "as --dns-search example.org, or . for none")
    name = options.hostname
    if name and (len(name) > 63 or not _is_of_names_letters(name)):
        raise UsageError(f"'{name}' is no host name", "up to 63 letters, digits, and - . _ (sethostname(2))")


def _is_of_names_letters(name: str) -> bool:
    return all(letter.isascii() and (letter.isalnum() or letter in "-._") for letter in name)


def sandbox_name(container: Container) -> str:
    """What ``ip netns list`` shows."""
    return f"labkit-{container.short_id}"


def owner_of_namespace(container: Container) -> Container:
    """The container whose network it uses: another one in the mode ``container:NAME``. ConflictError if that one does
    not run.
    """
    from labkit.runtime.engine.record import record

    other = record.find(container.network[len(_ANOTHERS) :])
    if not other.state().runs:
        raise ConflictError(f"the container {other.name} is not running: its network cannot be joined", "start it")
    return other


def namespace_path(container: Container) -> str | None:
    """What the specification says of the network's namespace: a path to join, empty for a new one, None for our own."""
    if container.network == "host":
        return None
    if container.network == "none":
        return ""
    if container.network.startswith(_ANOTHERS):
        other = owner_of_namespace(container)
        path = namespace_path(other)
        return f"/proc/{other.state().pid}/ns/net" if path == "" else path
    return f"/run/netns/{sandbox_name(container)}"


def shown_namespace(container: Container) -> str:
    """``namespace_path`` for people: empty where there is none, or none any more."""
    if not has_sandbox(container):
        return ""
    return namespace_path(container) or ""


def has_sandbox(container: Container) -> bool:
    """Whether it has a network of labkit's."""
    return container.network not in ("host", "none") and not container.network.startswith(_ANOTHERS)


def wishes(container: Container) -> dict[str, dict[str, Any]]:
    """Network name -> the wished ``address`` and ``aliases``, the first network first."""
    if not has_sandbox(container):
        return {}
    options = container.options
    if not options.network:  # it was taken out of all of its networks
        return dict(options.networks)
    name = "labkit0" if options.network == "bridge" else options.network
    return {name: {"address": options.address, "aliases": options.network_aliases}, **options.networks}


def join(container: Container, do: Callable[[list[Section]], None], dry: bool = False) -> Container:
    """Reserve its addresses and ports: ``do`` is given the sections for that, as with ``steps.run``.

    The container with its endpoints and actual ports.
    """
    if not has_sandbox(container):
        return replace(container, endpoints={}, ports=[])
    from labkit.runtime.network import definitions, reservations

    endpoints: dict[str, dict[str, Any]] = {}
    ports: list[PortMapping] = []
    for number, (name, wish) in enumerate(wishes(container).items()):
        wanted = [] if number else mappings(container)
        network = definitions.find(name)
        if wanted:
            check_publishing(network)
        address, chosen = reservations.join(network, container.id, wanted, do, wish.get("address", ""), dry)
        endpoints[name] = endpoint_record(container, number, address, wish)
        ports += chosen
    return replace(container, endpoints=endpoints, ports=ports)


def endpoint_record(container: Container, number: int, address: str, wish: dict[str, Any]) -> dict[str, Any]:
    """What its record says of an endpoint; ``number`` counts them."""
    link = f"veth{container.id[:7]}{number or ''}"
    return {"address": address, "link": link, "device": f"eth{number}", "aliases": list(wish.get("aliases", []))}


def endpoint(container: Container, name: str) -> Endpoint:
    """One of its endpoints as the network's model has it."""
    from labkit.runtime.network import definitions
    from labkit.runtime.network.endpoint import Endpoint, Sandbox

    known = container.endpoints[name]
    return Endpoint(
        definitions.find(name),
        Sandbox(sandbox_name(container)),
        known["link"],
        known["address"],
        known["device"],
        has_default_route=name == way_out(container),
    )


def way_out(container: Container) -> str:
    """The first of its networks that leads to elsewhere: it gets the default route. Empty where none does."""
    from labkit.runtime.network import definitions

    names = list(container.endpoints)
    if len(names) < 2:
        return "".join(names)
    return next((name for name in names if definitions.find(name).way_out), "")


def publishing(container: Container) -> list[Operation]:
    """The rules of its published ports."""
    if not container.ports:
        return []
    from labkit.runtime.network import definitions, portmap, reservations

    network = definitions.find(next(iter(container.endpoints)))
    return [portmap.rules(container.ports, container.address, network, reservations.program(network.name))]


def forgetting(container: Container) -> list[Operation]:
    """When those rules are there: what the kernel knows of its UDP ports from before them."""
    ports = tuple(mapping.outside for mapping in container.ports if mapping.protocol == "udp")
    if not ports:
        return []
    from labkit.runtime.network.conntrack import ForgetPorts

    return [ForgetPorts(ports, container.address)]


def operations(container: Container) -> list[Operation]:
    """The sandbox; an endpoint in it for each network, and its name for the others."""
    if not has_sandbox(container):
        return []
    from labkit.runtime.network.endpoint import Sandbox

    made = Sandbox(sandbox_name(container)).operations()
    for name in container.endpoints:
        made += endpoint(container, name).operations() + name_operations(container, name)
    return made


def name_operations(container: Container, network: str) -> list[Operation]:
    """Its name for the other members of a user's network."""
    if network == "labkit0":
        return []
    from labkit.runtime.network.names import AddName

    known = container.endpoints[network]
    words = dict.fromkeys([container.name, container.short_id, *known["aliases"]])
    hosts = f"{container.directory}/hosts"
    return [AddName(network, container.id, f"{known['address']}\t{' '.join(words)}", hosts)]


def mappings(container: Container) -> list[PortMapping]:
    """What it publishes; a port of the host may be yet to be chosen."""
    if not container.options.publish:
        return []
    from labkit.runtime.network import portmap

    return portmap.parse_all(container.options.publish)


def host_name(container: Container) -> str:
    """The one it was given, or its id's first digits; with another one's network, that one's."""
    if container.network.startswith(_ANOTHERS):
        return host_name(owner_of_namespace(container))
    return container.options.hostname or container.short_id


def name_files(container: Container, resolver: str) -> dict[str, str]:
    """The contents of /etc/hostname, /etc/hosts and /etc/resolv.conf; ``resolver`` is the host's own resolv.conf."""
    options, name = container.options, host_name(container)
    known = dict.fromkeys([name, container.name])
    own = f"{container.address}\t{' '.join(known)}\n" if container.address else ""
    pairs = (entry.partition(":") for entry in options.add_hosts)
    added = "".join(f"{address}\t{host}\n" for host, _, address in pairs)
    return {
        "hostname": f"{name}\n",
        "hosts": f"127.0.0.1\tlocalhost\n::1\tlocalhost\n{own}{added}",
        "resolv.conf": _resolver(options, resolver),
    }


def _resolver(options: Options, resolver: str) -> str:
    """The host's, with the servers or the domains that were given in place of its own."""
    kept = resolver
    if options.dns:
        kept = _without(kept, ("nameserver",)) + "".join(f"nameserver {server}\n" for server in options.dns)
    if options.dns_search:
        kept = _without(kept, ("search", "domain")) + f"search {' '.join(options.dns_search)}\n"
    return kept


def _without(text: str, words: tuple[str, ...]) -> str:
    return "".join(f"{line}\n" for line in text.splitlines() if line.split()[:1] not in [[word] for word in words])


@dataclass(frozen=True)
class WriteFile(GoesAlong):
    """A small text file of ours, in a directory that goes with the container."""

    path: str
    text: str

    def describe(self) -> str:
        """As printf(1) in a shell."""
        return f"printf %s {quote(self.text)} > {quote(self.path)}"

    def do(self) -> None:
        """Write it beside, and rename."""
        textfile.save(self.path, self.text)


def name_file_operations(container: Container) -> list[Operation]:
    """/etc/hostname, /etc/hosts and /etc/resolv.conf, to be bound into the root file system.

    In the mode ``container:NAME`` they are copies of that one's, as its network is the one they speak of.
    """
    if container.network.startswith(_ANOTHERS):
        other = owner_of_namespace(container)
        texts = {name: textfile.read(f"{other.directory}/{name}") for name in ("hostname", "hosts", "resolv.conf")}
    else:
        texts = name_files(container, textfile.read(_RESOLVER) if os.path.exists(_RESOLVER) else "")
    return [WriteFile(f"{container.directory}/{name}", content) for name, content in texts.items()]
