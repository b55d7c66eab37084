"""Where other people's code runs, and what it can reach from there."""
