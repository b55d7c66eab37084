"""Everything that watches is derived from the journal, by the observer."""
