"""Carrying a SQLite data set over to PostgreSQL."""
