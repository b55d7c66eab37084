"""Whether a call whose worker was lost is tried once more elsewhere."""

from __future__ import annotations


def may_try_again(*, accepted: bool, retried: bool, idempotent: bool, called_others: bool) -> bool:
    """A call that no worker had begun always is, once. One that a worker had begun (`accepted`) only where its version
    says that running twice does no harm (`idempotent`), and nothing that it called has run on its behalf: what these
    did would be done twice, and their authors have promised nothing."""
    if retried:
        return False
    return not accepted or (idempotent and not called_others)
