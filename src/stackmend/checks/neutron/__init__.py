# SPDX-License-Identifier: Apache-2.0
"""Checks of ports and their bindings."""
