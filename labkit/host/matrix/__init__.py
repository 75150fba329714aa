"""``invoke matrix``: every lesson on every kernel, cgroup version and iptables back end, and a verdict for each pair.

What lab.yaml says of it is in lab/matrixsection.py; ``verdict`` judges a lesson that was played (pure), ``record``
remembers what was played, so that an interrupted run goes on, ``cell`` boots one machine and plays on it, ``run`` does
that for all cells, ``display`` shows it meanwhile and ``report`` at the end.
"""
