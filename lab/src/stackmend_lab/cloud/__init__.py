# SPDX-License-Identifier: Apache-2.0
"""A consistent cloud of N servers on the services' own schemas, to rehearse on: with everything that belongs to it, in
the states a real cloud has, and nothing wrong with it until something is planted (:mod:`stackmend_lab.plants`)."""

from stackmend_lab.cloud.build import build
from stackmend_lab.cloud.handle import Cloud, CloudRows, Server

__all__ = ["Cloud", "CloudRows", "Server", "build"]
