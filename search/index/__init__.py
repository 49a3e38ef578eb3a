"""Served indexes, built from the vectors."""
