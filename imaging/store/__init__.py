"""The pictures' share of the database: rows in, plain values out."""
