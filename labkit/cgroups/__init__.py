"""Control groups (cgroups(7)): which version a machine has, and a group for each container.

``detect`` looks at what is mounted; ``v1`` and ``v2`` make a group's operations in that version's terms, and ``group``
asks the right one. ``limits`` turns the specification's resources into files and values, ``devices`` its rules into a
list and a program; both are pure. ``freezer`` pauses, ``usage`` reads what was used. Hybrid is v1 with a v2 tree
beside it that has no controllers.
"""
