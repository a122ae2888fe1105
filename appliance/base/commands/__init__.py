"""The verbs of `attune base`, a module a family of them."""
