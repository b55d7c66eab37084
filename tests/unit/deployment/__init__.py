"""Sources on their way to a platform."""
