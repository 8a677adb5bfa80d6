"""What to do: pure functions from what was observed to a plan.

Nothing here reads a clock, a cluster, a network or an environment; the time is a field. One file
per policy. A kind's own file (`dataset.py`, `modeldeployment.py`, ...) puts the policies together
into `plan_<kind>`.
"""
