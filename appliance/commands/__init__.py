"""The commands of `attune`, a file for each family of them; each is a small function that calls its
room.

One that needs a heavy room imports it itself, so that `attune seal` starts at once.
"""
