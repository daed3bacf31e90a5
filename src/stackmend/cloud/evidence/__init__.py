# SPDX-License-Identifier: Apache-2.0
"""What all witnesses say about one object, weighed in one place."""
