# SPDX-License-Identifier: Apache-2.0
"""What is done on machines: services' units, fencing, disks, the instances directory. Pure builders of steps."""
