# SPDX-License-Identifier: Apache-2.0
"""A cloud without services, in memory and simulated time: thousands of hosts, reproducible faults by seed.

It implements the interface of :class:`stackmend.drivers.api.session.ApiSession`; tests/lab/simulated compares its
behaviour with the lab.
"""

from stackmend_lab.simulated.clock import Clock
from stackmend_lab.simulated.cloud import Cloud
from stackmend_lab.simulated.faults import Faults
from stackmend_lab.simulated.invariants import invariants

__all__ = ["Clock", "Cloud", "Faults", "invariants"]
