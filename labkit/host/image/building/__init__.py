"""Making the guest image and kernels here: what goes in, the runs of mmdebstrap, and what comes out."""
