"""Flavors, one library a file; each is found by its entry point."""
