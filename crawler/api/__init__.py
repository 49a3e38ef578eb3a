"""The API: requests in, records out; limits, retries and the meaning of each status."""
