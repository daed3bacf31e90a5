# SPDX-License-Identifier: Apache-2.0
"""What the services know, read-only: said once, for checks, repairs and workflows."""
