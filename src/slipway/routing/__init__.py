"""Pure decisions of the request flow: routes, versions, owners, balance, batches, retries, scaling, reservations.

No I/O, no clock.
"""
