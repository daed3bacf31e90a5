# SPDX-License-Identifier: Apache-2.0
"""What databases and logs record of an object's past."""
