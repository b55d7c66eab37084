"""Commands that start the platform's processes or read its files on this machine."""
