# SPDX-License-Identifier: Apache-2.0
"""From findings and requests to plans, and from plan files to what may be believed of them."""
