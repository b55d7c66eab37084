"""Pure decisions of the request flow: routes, version selection, ownership, send-ahead, scaling. No I/O, no clock."""
