"""Films as a browser plays them: open, in ranges, and at a glance."""
