"""Where the guest image and the kernels come from: the cache, or else they are made here.

``guestimage`` and ``kernels`` are the doors: they know what is there already, and whether it is whole.
"""
