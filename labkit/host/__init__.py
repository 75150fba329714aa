"""What runs on your computer: machines, lessons, tasks. It knows the runtime by the command lines that it sends."""
