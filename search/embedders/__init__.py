"""The models that turn pictures and words into vectors."""
