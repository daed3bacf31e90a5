# SPDX-License-Identifier: Apache-2.0
"""Causes in what all services depend on: databases, messaging, identity, clocks and quotas."""
