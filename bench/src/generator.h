/* SPDX-License-Identifier: MIT */
/* What the generator's two halves share: the program in the kernel reads `settings`, the one outside reads the windows. */
#pragma once
#include <linux/types.h>

enum {
	BATCH = 64,           /* packets that the kernel takes up at once, as a driver's poll would */
	WINDOW = 64,          /* batches whose time is added up: long enough to hold a netlink flush */
	WINDOWS_MAX = 1 << 16,
	ADDRESS_BITS = 24,    /* addresses are spread over 2^24, so that a hash gets no neighbours as a present */
};

struct settings {
	__u32 addresses;      /* how many distinct sources */
	__u32 ports;          /* how many distinct source ports per address */
	__u32 network;        /* the bits above ADDRESS_BITS, host order */
	__u32 checksum;       /* sum of the template's IPv4 header without source and checksum */
	__u64 batch_interval_ns; /* 0: as fast as the kernel can */
};
