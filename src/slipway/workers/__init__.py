"""Hosts, zygotes and replicas: everything that starts and stops other people's code."""
