"""Container networking in the words of the container network model.

A **Sandbox** is one network namespace with its interfaces, routes and resolver settings; an **Endpoint** (a veth pair)
joins a Sandbox to one **Network** (a bridge with a subnet). model.py has the three, each a list of operations;
bridge.py and portmap.py say what a bridge and a published port are made of; ipam.py picks addresses and is pure;
store.py keeps what is reserved; netlink.py is the only module that speaks rtnetlink(7) with the kernel.
"""
