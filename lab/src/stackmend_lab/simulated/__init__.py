# SPDX-License-Identifier: Apache-2.0
"""A cloud without services, in memory and in a time of its own: thousands of hosts, faults by seed, the same each time.

It speaks as :class:`stackmend.drivers.api.session.ApiSession` does; what it says is held against the lab by the tests
of tests/lab/simulated.
"""

from stackmend_lab.simulated.clock import Clock
from stackmend_lab.simulated.cloud import Cloud
from stackmend_lab.simulated.faults import Faults
from stackmend_lab.simulated.invariants import invariants

__all__ = ["Clock", "Cloud", "Faults", "invariants"]
