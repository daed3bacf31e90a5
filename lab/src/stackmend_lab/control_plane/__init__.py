# SPDX-License-Identifier: Apache-2.0
"""A real control plane as plain processes in one folder, with the databases and APIs of all six services.

It runs Keystone, Glance, Placement, Nova, Neutron and Cinder with their own MariaDB and RabbitMQ; only hypervisor,
network agent and storage are fakes (``fake_backends/``).
"""

from __future__ import annotations

from stackmend_lab.control_plane.layout import Layout, default_folder
from stackmend_lab.control_plane.plane import Plane, ServiceState

__all__ = ["Layout", "Plane", "ServiceState", "default_folder"]
