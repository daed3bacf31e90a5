# SPDX-License-Identifier: Apache-2.0
"""Causes in what all services stand on: databases, messages, identity, clocks, quotas."""
