"""Container networking in the words of the container network model.

A **Sandbox** is one network namespace with its interfaces, routes and resolver settings; an **Endpoint** (a veth pair)
joins a Sandbox to one **Network** (a bridge with a subnet). model.py has what records hold, as data; bridge.py,
endpoint.py and portmap.py say what a bridge, a container's place in it and a published port are made of, each as a list
of operations; ipam.py knows what an address is, and is pure; reservations.py keeps what is taken: a network comes up
with its first address, and goes with its last. Where each millisecond counts, netlink.py speaks rtnetlink(7); whoever
reads, watches or compares goes through reading.py, to pyroute2.
"""
