# SPDX-License-Identifier: Apache-2.0
"""The services' APIs: a session, the operations that repairs may ask for, and who carries them out."""
