"""What nequip imports of spinff whenever nequip itself is imported.

The entry point ``init_always`` of the group ``nequip.extension`` names this module. It
registers the data fields and nothing else: the models are found by their ``_target_``
in a configuration.
"""

from spinff.fields import register

register()
