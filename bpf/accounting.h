/* SPDX-License-Identifier: MIT */
/*
 * What the program and its loader have in common. crates/core/src/sources/bpf has the same in Rust, and a test there compares
 * every member with the BTF of the object. Whoever changes anything here changes LAYOUT: then what older programs have pinned is
 * drained to the ledger, by what it says of itself, and replaced.
 *
 * Numbers are in the order of bytes of the machine if nothing else is said. There is no padding that is not named.
 */
#ifndef NETLEDGER_ACCOUNTING_H
#define NETLEDGER_ACCOUNTING_H

#ifndef LAYOUT
#define LAYOUT 1
#endif

/* Generation n is counted in slot n & 1. */
#define SLOTS 2
/* The highest byte of `generation` says whose program counts; 0 is nobody's. */
#define SIDE_SHIFT 56

/*
 * What rows are added up by: flow.rs has the same words. Of a map whose rows are told apart by the host alone the first 16 bytes
 * are the key, without peers the first 32.
 */
struct key {
	__u64 host[2]; /* high, low; IPv4 is v4-mapped */
	__u64 meta;    /* own port, peer's port << 16, protocol << 32 */
	__u64 place;   /* index of the interface */
	__u64 peer[2];
};

/* Both sides of the books; each is written by locked adds only. */
struct row {
	__u64 sent_packets, sent_bytes;
	__u64 received_packets, received_bytes;
};

struct count {
	__u64 packets, bytes;
};

/* packet.rs: Unreadable */
enum unreadable {
	UNREADABLE_EMPTY,
	UNREADABLE_VERSION,
	UNREADABLE_SHORT,
	UNREADABLE_HEADER_LENGTH,
	UNREADABLE_TOTAL_LENGTH,
	UNREADABLE_NOT_IP,
	UNREADABLE_COUNT,
};

/*
 * What a slot counted beside its rows; one for each CPU. On each side of the books
 * rows + external + other + unreadable = total.
 */
struct receipt {
	struct count total; /* every packet that was asked for */
	struct row external; /* not local */
	struct row other;    /* no room for a row of its own */
	struct count unreadable[UNREADABLE_COUNT];
	/*
	 * Super-packets: how many of `total`, what they were or will be on the wire (IP packets, and their bytes with an IP
	 * header each), and what they were booked with. All of `total` on the wire is total - super + super_wire.
	 */
	struct count super;
	struct count super_wire;
	__u64 length_lies;       /* tcx: the header claims more than the frame has */
	__u64 length_unknown;    /* tcx: the length field is 0 */
	__u64 fragments_unknown; /* a later fragment, where ports were asked for: they are 0 */
	__u64 ignored;           /* tcx: in a tag or PPPoE, and not IP; not in `total` */
	__u64 rows;              /* that were inserted */
};

/* The name of an interface, 16 bytes as two words as they lie in memory; it fits if (name & mask) == word in both. */
struct pattern {
	__u64 word[2];
	__u64 mask[2]; /* of a whole name its final NUL too, of `ppp*` only what is before the star */
};
#define PATTERNS_MAX 32

/* Asked of networks: `struct networks` answers all of it at once. */
#define NETWORK_LOCAL 1
#define NETWORK_WANTED 2
#define NETWORK_EXCLUDED 4

/*
 * All that is asked for, in .rodata: the verifier takes out what is not. Masks are those of posting.rs.
 */
struct settings {
	__u64 host_mask[2][2]; /* IPv4, IPv6; each high, low; 0 without the column */
	__u64 peer_mask[2][2];
	__u64 meta_mask;
	__u64 place_mask;
	__u32 side;      /* 1 to 255: compared with generation >> SIDE_SHIFT */
	__u32 key_bytes; /* 16, 32, 48: the key_size of the rows */
	__u8 ports;      /* headers are read up to the ports: protocol or a port is among the columns */
	__u8 loopback;   /* netfilter: `lo` is counted at the output hook */
	__u8 others;     /* tcx: frames for other machines are counted too when they are received */
	__u8 networks;   /* NETWORK_*: which of them are asked for; 0: `networks` is never read */
	/*
	 * netfilter. `interfaces`: only these count, besides `lo` if `loopback` says so; `interfaces_limited` without any: only
	 * that. `interfaces_excluded`: never. At the forward hook as nft rules have it: one of the two interfaces must be among
	 * `interfaces`, none among `interfaces_excluded`.
	 */
	__u8 interfaces_limited;
	__u8 interfaces_count;
	__u8 interfaces_excluded_count;
	__u8 unused;
	__u32 ipv4_half, ipv6_half; /* of the tables in `networks`: half of the entries that are searched, 0 for one entry */
	struct pattern interfaces[PATTERNS_MAX];
	struct pattern interfaces_excluded[PATTERNS_MAX];
};

/*
 * Networks, resolved: where the answer changes, in order, and the answer (NETWORK_*) from there on. The first entry is address 0.
 * A power of two of entries is searched, twice `ipv4_half` or `ipv6_half`: those behind the last change are all ones, with its
 * answer.
 */
#define NETWORKS_MAX 16384

struct networks {
	__u32 ipv4_start[NETWORKS_MAX];
	__u64 ipv6_start_high[NETWORKS_MAX];
	__u64 ipv6_start_low[NETWORKS_MAX];
	__u8 ipv4_answer[NETWORKS_MAX];
	__u8 ipv6_answer[NETWORKS_MAX];
};

#endif
