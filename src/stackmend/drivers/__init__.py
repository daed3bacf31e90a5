# SPDX-License-Identifier: Apache-2.0
"""Everything with external effects, one package per kind."""
