# SPDX-License-Identifier: Apache-2.0
"""Causes in Cinder, its back ends, and local disks."""
