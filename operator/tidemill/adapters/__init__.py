"""How to reach things: one module per outside system, the only importer of its client.

They raise TransientError, ConflictError or TerminalError and nothing else.
"""
