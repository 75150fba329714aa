"""Files between a container and us, and what a container has changed of its image."""
