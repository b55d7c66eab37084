"""What git runs on behalf of the platform."""
