"""From a commit to what is live: repositories, builds, environments, publication."""
