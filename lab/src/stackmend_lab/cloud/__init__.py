# SPDX-License-Identifier: Apache-2.0
"""A consistent cloud of N servers on the services' own schemas, to rehearse on.

It contains everything that belongs to a cloud, in the states of a real one, and nothing is wrong with it until damage
is planted (:mod:`stackmend_lab.plants`).
"""

from stackmend_lab.cloud.build import build
from stackmend_lab.cloud.handle import AbsentError, Cloud, CloudRows, Server

__all__ = ["AbsentError", "Cloud", "CloudRows", "Server", "build"]
