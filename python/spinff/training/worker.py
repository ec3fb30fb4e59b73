"""The other processes of a run on several: Lightning starts this file for each.

Lightning starts ``sys.argv[0]`` again with the command line of the run. That has to be
a file which hands the command line to nequip, and which leaves checks, messages and the
model file to the first process.
"""

import sys

if __name__ == "__main__":
    # the folder of a file that is started comes first, and ours has a statistics.py
    if not sys.flags.safe_path:
        del sys.path[0]
    from nequip.scripts.train import main

    main()
