"""Asynchronous calls: taken from the gateways, kept, run through them again, and remembered for a while."""
