"""Who may do what: principals, credentials, and the one function that decides."""
