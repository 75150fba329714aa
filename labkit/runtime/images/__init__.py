"""Images: a stack of read-only layers, and the configuration of what runs on it (OCI image specification 1.1).

``imagestore`` reads names and keeps layers (unpacked, one directory each) and images; ``layers`` unpacks one layer;
``archive`` reads an image from a tar file.
"""
