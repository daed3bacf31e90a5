# SPDX-License-Identifier: Apache-2.0
"""Read-only knowledge about the services, in one place for checks, repairs and workflows."""
