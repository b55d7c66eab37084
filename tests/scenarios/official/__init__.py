"""Programs that use the clients as they were published; run in environments of their own."""
