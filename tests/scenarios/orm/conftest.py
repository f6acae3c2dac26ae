from tests.support.leases import many_connections, no_connection_outlives_the_run, no_lease_is_lost, pool_with

__all__ = ["many_connections", "no_connection_outlives_the_run", "no_lease_is_lost", "pool_with"]
