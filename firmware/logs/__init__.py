"""What of the logs leaves the recorder: how far they have come, signed, and their lines, sealed."""
