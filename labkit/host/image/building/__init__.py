"""What making the guest image and kernels here takes: what goes in, keys, how mmdebstrap is run, the initrd."""
