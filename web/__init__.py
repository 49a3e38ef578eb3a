"""The page: where the crawl stands and what it found, served to this machine alone."""
