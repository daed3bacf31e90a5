# SPDX-License-Identifier: Apache-2.0
"""OVN's northbound and southbound databases: read whole, in one transaction each, and never written to."""
