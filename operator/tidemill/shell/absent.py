"""Importing a library as if some others were not installed.

kopf imports the `kubernetes` package where it finds it, only to recognise its classes in
`isinstance` checks: 45 MB that this process never uses. Where the Kubeflow engine's extra is
installed, it would find it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def absent(*packages: str) -> Iterator[None]:
    """Within the block, importing these packages raises ImportError, unless they were imported."""
    hidden = [name for name in packages if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
