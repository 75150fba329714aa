"""Container networking in the words of the container network model.

A **Sandbox** is one network namespace with its interfaces, routes and resolver settings; an **Endpoint** (a veth pair)
joins a Sandbox to one **Network** (a bridge with a subnet). model.py has what records hold, as data; endpoint.py,
bridge.py and portmap.py say what a container's place, a bridge and a published port are made of, each as a list of
operations; ipam.py picks addresses and is pure; reservations.py keeps what is taken. Where each millisecond
counts, netlink.py speaks rtnetlink(7); whoever reads, watches or compares goes through reading.py, to pyroute2.
"""
