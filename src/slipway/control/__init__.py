"""The control process: management API, git over HTTP, jobs. The only writer of the store."""
