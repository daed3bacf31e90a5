# SPDX-License-Identifier: Apache-2.0
"""What is set up before an audit: the configuration, accounts, a nightly timer."""
