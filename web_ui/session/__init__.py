"""Who is unlocked, what they have open, and who may ask for what."""
