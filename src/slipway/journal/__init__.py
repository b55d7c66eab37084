"""The durable sequence of records of calls and events, and its hash chain. Format: docs/reference/journal.md."""
