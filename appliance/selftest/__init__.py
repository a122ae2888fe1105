"""A whole kit on this computer or on the bench: tried out, rehearsed, looked over, accepted."""
