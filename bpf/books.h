/* SPDX-License-Identifier: MIT */
/* The maps, and how a packet is booked. */
#ifndef NETLEDGER_BOOKS_H
#define NETLEDGER_BOOKS_H

/* Key and number of rows are set before the program is loaded. */
struct rows {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(key_size, 16);
	__uint(value_size, sizeof(struct row));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__array(values, struct rows);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, struct receipt);
} receipts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct networks);
} networks SEC(".maps");

const volatile struct settings settings;

/* The open generation, and in its highest byte whose. Written by one store of user space. */
volatile __u64 generation SEC(".data.control");

struct packet {
	__u64 source[2], destination[2]; /* high, low */
	__u64 bytes;
	__u32 source_place, destination_place;
	__u16 source_port, destination_port;
	__u8 protocol;
	__u8 is_ipv4;
};

/*
 * Adds are locked: in the rows because CPUs share them; in the receipt, of which each CPU has its own, because a softirq may
 * interrupt the same program on the same CPU, and a task that runs it may be moved to another one meanwhile. The mutations are
 * what the tests of exactness must notice.
 */
#define ADD_LOCKED(place, number) ((void)__sync_fetch_and_add(&(place), (number)))
#define ADD_PLAIN(place, number) ((void)(*(volatile __u64 *)&(place) += (number)))
#ifdef MUTATE_PLAIN_ADDS
#define MUTATE_PLAIN_RECEIPT
#define ADD ADD_PLAIN
#else
#define ADD ADD_LOCKED
#endif
#ifdef MUTATE_PLAIN_RECEIPT
#define ADD_RECEIPT ADD_PLAIN
#else
#define ADD_RECEIPT ADD_LOCKED
#endif

static __always_inline void add_receipt(__u64 *packets, __u64 *bytes, __u64 more)
{
	ADD_RECEIPT(*packets, 1);
	ADD_RECEIPT(*bytes, more);
}

static __always_inline int is_counting(__u64 number)
{
	return number >> SIDE_SHIFT == settings.side;
}

/*
 * Searched by halves. There is no branch on what is found, for the verifier would have to follow it both ways each time; nor a
 * mask of all bits or none, of which newer kernels make two ways as well.
 */
#define TAKE_IF(is_behind, at, half)                                                                                        \
	({                                                                                                           \
		asm volatile("" : "+r"(is_behind)); /* else the compiler makes a branch of it */                     \
		(at) |= (__u32)(is_behind) * (half);                                                                 \
	})

static __always_inline __u32 answer_ipv4(const struct networks *table, __u32 address)
{
	__u32 at = 0;

	for (__u32 half = settings.ipv4_half; half; half >>= 1) {
		__u32 middle = (at | half) & (NETWORKS_MAX - 1);
		/* 1 if it starts at the address or before: then this borrows. */
		__u64 is_behind = ((__u64)table->ipv4_start[middle] - address - 1) >> 63;

		TAKE_IF(is_behind, at, half);
	}
	return table->ipv4_answer[at & (NETWORKS_MAX - 1)];
}

/* 1 or 0: what is borrowed by the highest bit of a - b. */
static __always_inline __u64 is_less(__u64 a, __u64 b)
{
	return ((~a & b) | ((~a | b) & (a - b))) >> 63;
}

static __always_inline __u32 answer_ipv6(const struct networks *table, const __u64 *address)
{
	__u32 at = 0;

	for (__u32 half = settings.ipv6_half; half; half >>= 1) {
		__u32 middle = (at | half) & (NETWORKS_MAX - 1);
		__u64 high = table->ipv6_start_high[middle], low = table->ipv6_start_low[middle];
		__u64 is_before = is_less(address[0], high) | (~is_less(high, address[0]) & is_less(address[1], low));
		__u64 is_behind = (is_before & 1) ^ 1;

		TAKE_IF(is_behind, at, half);
	}
	return table->ipv6_answer[at & (NETWORKS_MAX - 1)];
}

static __always_inline __u32 answer(const struct networks *table, const __u64 *address, int is_ipv4)
{
	return is_ipv4 ? answer_ipv4(table, (__u32)address[1]) : answer_ipv6(table, address);
}

/*
 * A row of its own for a key that has none. NULL: it was made, with this posting in it. Whoever cannot make one looks again:
 * another CPU may have been first. If not, there is no room.
 */
static __noinline struct row *insert(void *rows, const struct key *key, __u64 bytes, int is_sent, struct receipt *receipt)
{
	struct row first = {
		.sent_packets = is_sent, .sent_bytes = is_sent ? bytes : 0,
		.received_packets = !is_sent, .received_bytes = is_sent ? 0 : bytes,
	};

	if (!bpf_map_update_elem(rows, key, &first, BPF_NOEXIST)) {
		ADD_RECEIPT(receipt->rows, 1);
		return 0;
	}
	return bpf_map_lookup_elem(rows, key) ?: &receipt->other;
}

static __always_inline void mask(__u64 *to, const __u64 *address, const volatile __u64 *bits)
{
	/* The verifier knows which, and takes the other out. */
	if (bits[0] == ~0ull && bits[1] == ~0ull) {
		to[0] = address[0];
		to[1] = address[1];
	} else {
		to[0] = address[0] & bits[0];
		to[1] = address[1] & bits[1];
	}
}

static __always_inline void fill(struct key *key, const struct packet *packet, int is_sent)
{
	const int family = !packet->is_ipv4;
	const __u64 *host = is_sent ? packet->source : packet->destination;
	const __u64 *peer = is_sent ? packet->destination : packet->source;

	mask(key->host, host, settings.host_mask[family]);
	if (settings.key_bytes > 16) {
		/* ICMP: type and code on both sides. */
		int swaps = !is_sent && packet->protocol != IPPROTO_ICMP && packet->protocol != IPPROTO_ICMPV6;
		__u64 own = swaps ? packet->destination_port : packet->source_port;
		__u64 other = swaps ? packet->source_port : packet->destination_port;

		key->meta = (own | other << 16 | (__u64)packet->protocol << 32) & settings.meta_mask;
		key->place = 0;
		if (settings.place_mask)
			key->place = (is_sent ? packet->source_place : packet->destination_place) & settings.place_mask;
	}
	if (settings.key_bytes > 32) {
		mask(key->peer, peer, settings.peer_mask[family]);
	}
}

static __always_inline struct row *find(void *rows, struct key *key, const struct packet *packet, int is_sent)
{
	fill(key, packet, is_sent);
	return bpf_map_lookup_elem(rows, key);
}

/* `row`: what `find` said. `key` is room for one: both sides have it in turn, for there is little stack. */
static __always_inline void post(void *rows, struct row *row, struct key *key, struct receipt *receipt,
				 const struct packet *packet, int is_sent)
{
	if (!row) {
		fill(key, packet, is_sent);
		row = insert(rows, key, packet->bytes, is_sent, receipt);
		if (!row)
			return;
	}
	if (is_sent) {
		ADD(row->sent_packets, 1);
		ADD(row->sent_bytes, packet->bytes);
	} else {
		ADD(row->received_packets, 1);
		ADD(row->received_bytes, packet->bytes);
	}
}

/* Rows, totals and all else are those of one generation: that of `number`, which was read once. */
static __always_inline struct receipt *book(__u64 number, const struct packet *packet)
{
	const __u32 zero = 0;
	__u32 slot = number & (SLOTS - 1), from = NETWORK_LOCAL, to = NETWORK_LOCAL;
	struct row *sender = 0, *receiver = 0;
	struct receipt *receipt;
	struct key key;
	void *rows;

	if (settings.networks) {
		const struct networks *table = bpf_map_lookup_elem(&networks, &zero);

		if (!table)
			return 0; /* cannot be; the verifier does not know */
		from = answer(table, packet->source, packet->is_ipv4);
		to = answer(table, packet->destination, packet->is_ipv4);
		if (settings.networks & NETWORK_EXCLUDED && (from | to) & NETWORK_EXCLUDED)
			return 0;
		if (settings.networks & NETWORK_WANTED && !((from | to) & NETWORK_WANTED))
			return 0;
		if (!(settings.networks & NETWORK_LOCAL))
			from = to = NETWORK_LOCAL;
	}
	receipt = bpf_map_lookup_elem(&receipts, &slot);
#ifdef MUTATE_TWO_READS
	slot = generation & (SLOTS - 1);
#endif
	rows = bpf_map_lookup_elem(&slots, &slot);
	if (!receipt || !rows)
		return 0; /* cannot be: a slot is filled before its number is written */
	/*
	 * Both rows are looked up before anything is added: a processor finishes what it reads before it does a locked add, so
	 * that with one in between it would wait for the one row's memory, and then for the other's.
	 */
	if (from & NETWORK_LOCAL)
		sender = find(rows, &key, packet, 1);
	if (to & NETWORK_LOCAL)
		receiver = find(rows, &key, packet, 0);
	add_receipt(&receipt->total.packets, &receipt->total.bytes, packet->bytes);
#ifdef MUTATE_SLOW
	for (int i = 0; i < MUTATE_SLOW; i++)
		bpf_ktime_get_ns();
#endif
	if (from & NETWORK_LOCAL)
		post(rows, sender, &key, receipt, packet, 1);
	else
		add_receipt(&receipt->external.sent_packets, &receipt->external.sent_bytes, packet->bytes);
	if (to & NETWORK_LOCAL)
		post(rows, receiver, &key, receipt, packet, 0);
	else
		add_receipt(&receipt->external.received_packets, &receipt->external.received_bytes, packet->bytes);
	return receipt;
}

/* For what is rare: the same, but once in the program. */
static __noinline struct receipt *book_apart(__u64 number, const struct packet *packet)
{
	return book(number, packet);
}

/* What cannot be read has no addresses that could be asked for or not: it counts. */
static __noinline int book_unreadable(__u64 number, enum unreadable why, __u64 bytes)
{
	__u32 slot = number & (SLOTS - 1);
	struct receipt *receipt = bpf_map_lookup_elem(&receipts, &slot);

	if (!receipt || why >= UNREADABLE_COUNT)
		return 0;
	add_receipt(&receipt->total.packets, &receipt->total.bytes, bytes);
	add_receipt(&receipt->unreadable[why].packets, &receipt->unreadable[why].bytes, bytes);
	return 0;
}

#endif
