"""The state machine that collects a market, and what its steps need."""
