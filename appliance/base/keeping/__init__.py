"""Whether the store keeps what it should, for as long as it should and no longer."""
