"""Who may do what: principals, the one decision function, credentials."""
