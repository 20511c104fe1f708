/* SPDX-License-Identifier: MIT */
/* What the two halves of the floor share. */
#pragma once
#include <linux/types.h>

struct sums {
	__u64 packets, bytes;
};

struct prefix {
	__u32 bits, address;
};

enum { WIDE_WORDS = 6 };

struct wide_key {
	__u64 words[WIDE_WORDS];
};

/* What a real program needs besides a look-up and two additions. All 0: the floor. */
struct extras {
	__u32 locked;   /* additions that nothing can interrupt */
	__u32 totals;   /* a sum of all packets, in an array of this CPU */
	__u32 both;     /* the destination as well */
	__u32 wide;     /* a key of 16 to 48 bytes */
	__u32 networks; /* each address looked up in a table of networks first */
	__u32 cast;     /* netfilter: the header is read where it lies, without asking for it */
	__u32 no_rows;  /* no hash at all */
};
