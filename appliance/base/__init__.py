"""The service's own program, run at base beside its store with the service's keys.

It does what no kit may: removes keys for good, and signs in the service's name. No kit runs it,
and no other program imports it.
"""
