"""When: the process, the watches, the queue and the passes. The sole importer of kopf."""
