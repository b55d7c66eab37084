"""What an algorithm may import as `slipway`. Standard library only, Python 3.9 and later."""
