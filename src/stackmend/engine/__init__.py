# SPDX-License-Identifier: Apache-2.0
"""What becomes of answers: findings, plans and runs. It knows neither databases nor HTTP."""
