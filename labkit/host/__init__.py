"""The participant's side: machines, lessons, tasks. It knows the guest side only through the command lines it sends."""
