"""One folder a language: its runner, which speaks the worker protocol with nothing but the standard library."""
