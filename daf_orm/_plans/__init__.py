"""Query plans kept: the second query of a structure gets the SQL of the first, with its own parameters.

Django compiles each query anew. A plan is kept only for what is known to compile alike (``daf_orm._django.known_sql``);
every other query takes Django's way. ``DAF_ORM["KEEP_PLANS"]`` turns it on.
"""

from daf_orm._plans.keeping import activate, clear, deactivate, follow_settings, get_stats
from daf_orm._plans.store import PlanStats

__all__ = ["PlanStats", "activate", "clear", "deactivate", "follow_settings", "get_stats"]
