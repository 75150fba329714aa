"""What machines are made of, guest image, kernels and Vagrant boxes: from the cache, or else made here.

``guestimage``, ``kernels`` and ``box`` are the doors: they know what is there already, and whether it is whole.
"""
