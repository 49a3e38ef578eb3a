"""Pictures: download, checks, primary pictures, tar shards."""
