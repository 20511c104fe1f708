"""nfacct's drop-in beside the real nfacct, on the same objects of the kernel."""
