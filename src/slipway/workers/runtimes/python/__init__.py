"""The Python runner. Runs inside the model's environment: standard library only, Python 3.9 and later."""
