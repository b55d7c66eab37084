"""Deployment from a notebook, a file or a directory: what becomes of them on the way to a live version."""
