"""The publishing database's lifecycle: files, jobs, webhooks, listings and posts."""
