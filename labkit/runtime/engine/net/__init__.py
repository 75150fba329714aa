"""A container's place in networks: addresses, ports, and the files that name it."""
