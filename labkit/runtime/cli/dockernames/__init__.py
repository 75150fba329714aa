"""What ``labkit inspect`` shows of a container under docker's names: for the templates that people have already.

Names, order and types are those of docker 20.10; empty, 0 and ``null`` stand for what was not asked for, as there. What
is left out, and why, is the table of tests/guest/dockerinspect.py.
"""
