# SPDX-License-Identifier: Apache-2.0
"""The stages of an audit: judge the sources, run the checks, confirm, ask the services, record the history."""
