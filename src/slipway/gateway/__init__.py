"""The public door: protocol, authentication, admission, dispatch, forwarding. No query and no lock on the call path."""
