"""What is shown of containers. Nothing here changes one."""
