# SPDX-License-Identifier: Apache-2.0
"""Everything that touches the world, one package per kind."""
