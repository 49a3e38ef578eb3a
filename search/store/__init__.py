"""Vectors on disk, and which listing and image each row is of."""
