"""Films as a browser plays them: open, in ranges, as a filmstrip."""
