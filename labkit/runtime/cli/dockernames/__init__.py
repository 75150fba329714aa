"""What ``labkit inspect`` shows under docker's names, beside its own: for the templates that people have already.

Names, order and types are those of docker 20.10; empty, 0 and ``null`` stand for what was not asked for, as there. What
is left out, and why, is the table of tests/guest/dockerinspect.py.
"""
