"""What all tests share: how hypothesis searches.

A test of a module lies in tests/test_MODULE.py and belongs to `make check`, unless it is marked
`interop` (another implementation is asked) or `slow`. The folders promises, browser and rig are
tiers of their own: see tools/tiers.py.
"""

from hypothesis import settings

# The same examples each time, so that a red run is red again; no deadline, since a busy machine is
# not a broken kit.
settings.register_profile("attune", derandomize=True, deadline=None)
settings.load_profile("attune")
