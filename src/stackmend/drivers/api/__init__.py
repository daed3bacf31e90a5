# SPDX-License-Identifier: Apache-2.0
"""The services' APIs: a session, the operations available to repairs, and their executor."""
