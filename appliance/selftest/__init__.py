"""A whole kit on this computer or on the bench: demonstrated, rehearsed, checked, accepted."""
