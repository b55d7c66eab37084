"""What holds for the store on SQLite and on PostgreSQL alike."""
