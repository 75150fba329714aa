"""What is deployed into a machine (``deployed``), and the program in there that receives it (``receiver``)."""
