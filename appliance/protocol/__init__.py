"""What the processes, the kit and its service tell each other, readable without a key."""
