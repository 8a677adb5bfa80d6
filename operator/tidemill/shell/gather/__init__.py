"""Reads -> Observed, one file per kind: `async def gather(body, sight) -> Observed`.

A gather function reads the index, and documents or metrics only when they are due.
"""
