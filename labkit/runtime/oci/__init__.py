"""The low-level runtime, as runc is: from a specification (config.json) to a running process, and nothing more.

The story: ``spec`` reads and checks config.json; ``plan`` turns it into two lists of operations, one for the host and
one for the container's first process; ``launch`` clones that process; ``init`` is what it does until it executes the
program; ``channel`` is what these two say to one another; ``exec`` puts another process beside it. ``lifecycle`` is
the same as commands that come one after the other (create, start, kill, delete), with ``state`` to remember a
container between them. ``root`` is the root file system from inside. Few need a terminal (``console``) or hooks
(``hooks``). It knows no images and no networks: it takes a root file system, and namespaces by their paths.
"""
