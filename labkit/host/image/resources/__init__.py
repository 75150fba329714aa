"""Files that are carried into a machine or run while its image is built. They import nothing of labkit's."""
