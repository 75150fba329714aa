"""What is written down of a container, and who is responsible for it. Nothing here changes the kernel's state."""
