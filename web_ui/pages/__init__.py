"""The pages, a module each with one `blueprint(parts)`; none imports another."""
