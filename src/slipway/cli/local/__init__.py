"""Commands for the machine that the platform runs on."""
