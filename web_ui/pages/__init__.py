"""The pages, a module each with views on its blueprint, `pages`; none imports another."""
