"""What is done with a family's case once it is open."""
