"""Containers as a user sees them: names, ports, logs, start and stop (as dockerd and containerd-shim are).

The story of ``labkit run``: ``bundle`` writes the specification, ``plan`` lists what is to be done, ``run`` does the
host's part and hands over to the container's ``shim``, which starts the process by ``runtime.oci``, keeps its output
and its exit status, and takes everything back when it ends. ``gc`` takes back what the dead left. There is no daemon:
who is responsible for a container holds its ``lease``.
"""
