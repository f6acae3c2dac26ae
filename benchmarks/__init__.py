"""DAF measured beside its peers.

``python -m benchmarks`` runs everything, ``python -m benchmarks NAME`` one.
"""
