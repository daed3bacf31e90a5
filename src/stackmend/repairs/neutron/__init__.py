# SPDX-License-Identifier: Apache-2.0
"""Repairs of ports and their bindings."""
