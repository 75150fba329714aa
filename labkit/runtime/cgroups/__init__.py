"""Control groups (cgroups(7)): which version a machine has, and a group for each container.

``detect`` looks at what is mounted, ``placement`` says where a group lies, and ``group`` makes, changes and removes it:
it decides which of the machine's trees serves which limit, ``v1`` and ``v2`` make the operations (``grouptree``) in
that version's terms. On a hybrid machine v1's trees come first, and v2's serves what they have not.

``limits`` and ``rarelimits`` turn the specification's resources into files and values, ``devices`` its rules into a
list, ``deviceprogram`` that into a program. ``freezer`` pauses, ``statistics`` reads what was used, ``oom`` hears of a
process that was killed for want of memory.
"""
