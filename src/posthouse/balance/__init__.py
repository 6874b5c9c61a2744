"""Which backend: pools, policies, what is remembered of failures, and the rule that is asked "again?".

Everything here is pure: no socket, no event loop, no clock, no random source of its own. `now` (monotonic
seconds) and `random.Random` are handed in, so the same code runs live, in tests and in a simulation.
"""
