"""What workers find as top-level packages before the environment's own."""
