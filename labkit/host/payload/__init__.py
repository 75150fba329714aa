"""What is deployed into a machine (``deployed``), and the program in there that receives it (``receiver``).

``installation`` is the same on this very host, without a connection.
"""
