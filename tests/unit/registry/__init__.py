"""The registry without a database."""
