# SPDX-License-Identifier: Apache-2.0
"""Repairs of what Nova's API database says of servers, hosts and groups."""
