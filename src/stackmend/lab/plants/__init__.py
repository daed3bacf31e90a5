# SPDX-License-Identifier: Apache-2.0
"""What can be broken in an embedded cloud: one module a check, called as the check with ``_`` for ``-``.

Each holds ``plant(cloud)``, which breaks one object as the catalogue says and returns the key of the finding
expected; ``VARIANTS``, further ways in which it comes about; ``LOOK_ALIKES``, healthy things that resemble it; and,
where a repair is refused by design, ``NOT_REPAIRED``, the name of a variant and a part of the reason.
"""
