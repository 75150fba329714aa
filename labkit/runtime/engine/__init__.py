"""Containers as a user sees them: names, ports, logs, start and stop (as dockerd and containerd-shim are).

The story of ``labkit run``: ``config/steps.py`` lists what is to be done, and ``config/bundle.py`` makes the
specification. ``life/start.py`` does the host's part and hands over to the container's shim (``shim/keeper.py``). That
starts the process by ``runtime.oci`` (what runs as pid 1 before the program is ``oci/init.py``), keeps its output and
its exit status, and takes everything back when it ends. ``life/gc.py`` takes back what the dead left. There is no
daemon: who is responsible for a container holds its lease (``record/lease.py``).

record    what is written down of a container, and who is responsible for it
volumes   directories that outlive containers: what one needs, how it is made, filled and removed
net       what of networks a container has; rules, bridges and addresses themselves are ``runtime.network``'s
config    from what was asked for to config.json, and to the list of steps of a start
shim      the processes that stay, and the commands that are attached to them
life      start, stop, update, rename, and what is done about the dead
show      logs, explain, stats, filters: what is told of containers; it changes nothing
files     cp and diff
scripts   the same steps as a shell script (--dry-run)
"""
