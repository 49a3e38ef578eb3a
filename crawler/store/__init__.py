"""What the database holds: a file per aggregate; records in, plain values out."""
