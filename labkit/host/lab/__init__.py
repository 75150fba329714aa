"""What there is: lab.yaml, read and checked, and where things lie on this computer."""
