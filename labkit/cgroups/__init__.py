"""Control groups (cgroups(7)): which version a machine has, and a group for each container.

``detect`` looks at what is mounted; ``v1`` and ``v2`` make a group's operations in that version's terms; ``limits``
turns the specification's resources into files and values and is pure. Hybrid is v1 with a v2 tree beside it that has
no controllers.
"""
