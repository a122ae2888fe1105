"""What hangs on the pins of a kit: its button, its lamp and the eye on that."""
