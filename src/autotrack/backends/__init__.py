"""Kinds of store; each is found by its entry point, the scheme of the store's URL."""
