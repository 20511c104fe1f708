"""The mechanisms of the kernel that observe traffic, one file each. The only room that talks to the native core."""
