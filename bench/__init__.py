"""Benchmarks beside other programs; each runs with a make target of its own."""
