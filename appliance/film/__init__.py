"""A film on the card: its boxes, fragments, index and manifest, and how it plays again."""
