"""The demo: the whole loop on real data, told in plain words. `make demo` runs it."""
