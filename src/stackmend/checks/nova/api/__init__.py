# SPDX-License-Identifier: Apache-2.0
"""Checks of what Nova's API database says of servers, hosts and groups."""
