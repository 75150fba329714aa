"""``labkit-oci``: the low-level runtime's command line, which is runc's. No argparse.

argparse alone takes 7 ms to import, a third of what runc needs for a whole container.
"""
