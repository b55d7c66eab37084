"""The command line: one module a verb group; `local/` alone opens the platform's files or starts its processes."""
