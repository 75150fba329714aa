"""How the guest image is made: what goes in, the build by mmdebstrap, and what comes out.

``labkit.host.guestimage`` is the door: it knows whether an image is there already, and whether it is whole.
"""
