"""How the guest image and the kernels are made: what goes in, the runs of mmdebstrap, and what comes out.

``labkit.host.guestimage`` and ``labkit.host.kernels`` are the doors: they know what is there already, and whether it is
whole.
"""
