"""The command line and the client against a running platform."""
