"""Documents that travel through the artifact store between the operator, the steps and the servers.

Each is versioned JSON, bounded in size, written last and only if absent, and validated by these
models before anything believes it. `arguments` is what the operator hands to a step, `results`
what a step hands back, `profile` and `bundle` what a model's record is made of.
"""
