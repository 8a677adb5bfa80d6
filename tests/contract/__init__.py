"""One suite per port, against what was recorded or a stub that keeps to it."""
