"""The service's keys kept apart: a card that follows another, and who holds which half."""
