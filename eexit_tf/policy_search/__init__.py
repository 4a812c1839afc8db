"""The search over all policies, exact or with a proven gap.

`search` puts it together: `neighbours` finds good policies to compare with (`known`), `branches`
grows policies exit by exit (with `branch_tables` and `endgame`), `cuts` cuts intervals of
thresholds (`boxes`, bounded by `relaxation` against `lines` over the known policies). All read the
samples from `tables`; what is open waits in `waiting`.
"""

from eexit_tf.policy_search.search import Search

__all__ = ["Search"]
