# SPDX-License-Identifier: Apache-2.0
"""The stages of one audit: judge the sources, ask the checks, look a second time, ask the services, remember."""
