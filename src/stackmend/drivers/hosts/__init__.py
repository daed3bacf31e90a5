# SPDX-License-Identifier: Apache-2.0
"""Commands on hosts: by the ssh of the operator or on this machine, inside a container where that is asked for."""
