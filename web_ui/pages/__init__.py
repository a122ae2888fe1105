"""The pages: each module has views on its blueprint, `pages`, and imports no other page."""
