"""Living with a platform: copies of it, bringing them back, moving its store, clearing away what nobody needs."""
