"""What crosses process borders: the worker protocol's frames and the messages between platform processes."""
