"""Decisions and credentials."""
