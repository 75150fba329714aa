"""``invoke bench``: labkit's times beside those of runc, podman and docker, in pairs on one computer in one run.

Each figure is taken in a test host (proof/testhost.py), where all of them start from nothing and disturb nobody.
"""
