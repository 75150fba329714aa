"""What is put into a machine, and the program in there that receives it."""
