"""Films taken apart, looked at, cut and made into ours: whatever loads libav, and what holds it."""
