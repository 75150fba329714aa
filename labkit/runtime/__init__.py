"""What is deployed into the machine: containers, from a command line down to the kernel.

It runs on Linux with Python 3.9 and newer, and knows the standard library and pyroute2 only.
"""
