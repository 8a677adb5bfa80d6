"""Where a Dataset's rows come from: one module per kind of source, behind one protocol.

Reasons of failure are the same for all kinds: SourceUnavailable (transient), AccessDenied,
NoObjects, SourceChanged (transient), InvalidUri, UnreadableObject.
"""
