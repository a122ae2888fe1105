"""What the programs share, room by room, and those programs that need neither camera nor page."""
