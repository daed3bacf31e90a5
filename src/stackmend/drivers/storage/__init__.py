# SPDX-License-Identifier: Apache-2.0
"""Back ends of storage as a source of tables: pools, volume groups and shares. Nothing is changed there."""
