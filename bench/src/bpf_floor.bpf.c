// SPDX-License-Identifier: MIT
/* The least work that counts packets of an address in the kernel: one look-up in a hash, two additions. IPv4 only, source
 * only, nothing checked. What a real program needs besides can be switched on piece by piece, to see what each costs;
 * what is switched off is gone before the kernel translates the program. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf_floor.h"

enum { ACCEPT = 1, NEXT = -1 };

const volatile struct extras extras;
__u64 refused; /* packets that found no room */

/* Type, sizes and number of entries are set before loading. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, sizeof(struct sums));
} rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct sums);
} totals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 64);
	__uint(key_size, sizeof(struct prefix));
	__uint(value_size, 4);
} networks SEC(".maps");

/* The context of a netfilter program and the kernel's packet, as far as they are read; older headers have no such thing. */
struct sk_buff {
	unsigned int len;
	__u16 network_header;
	unsigned char *head;
} __attribute__((preserve_access_index));

struct bpf_nf_ctx {
	const void *state;
	struct sk_buff *skb;
} __attribute__((preserve_access_index));

extern int bpf_dynptr_from_skb(struct __sk_buff *skb, __u64 flags, struct bpf_dynptr *packet) __ksym __weak;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *packet, __u32 offset, void *buffer, __u32 size) __ksym __weak;
extern void *bpf_rdonly_cast(const void *object, __u32 type) __ksym __weak;

static __always_inline void add(struct sums *to, __u64 bytes, int locked)
{
	if (locked) {
		__sync_fetch_and_add(&to->packets, 1);
		__sync_fetch_and_add(&to->bytes, bytes);
	} else {
		to->packets++;
		to->bytes += bytes;
	}
}

static __always_inline void count(void *key, __u64 bytes)
{
	const struct sums first = {.packets = 1, .bytes = bytes};
	struct sums *row = bpf_map_lookup_elem(&rows, key);
	if (!row) {
		if (!bpf_map_update_elem(&rows, key, &first, BPF_NOEXIST))
			return;
		row = bpf_map_lookup_elem(&rows, key);
	}
	if (row)
		add(row, bytes, extras.locked);
	else
		__sync_fetch_and_add(&refused, 1);
}

static __always_inline void count_address(__u32 address, __u64 bytes)
{
	struct prefix prefix = {.bits = 32, .address = address};
	struct wide_key wide = {.words = {0xffff00000000ull | bpf_ntohl(address)}};
	if (extras.networks && bpf_map_lookup_elem(&networks, &prefix))
		return;
	if (extras.wide)
		count(&wide, bytes);
	else
		count(&address, bytes);
}

static __always_inline void account(const struct iphdr *ip)
{
	__u32 zero = 0, source = ip->saddr, destination = ip->daddr;
	__u64 bytes = bpf_ntohs(ip->tot_len);
	if (extras.totals) {
		struct sums *total = bpf_map_lookup_elem(&totals, &zero);
		if (total)
			add(total, bytes, extras.locked);
	}
	if (extras.no_rows)
		return;
	count_address(source, bytes);
	if (extras.both)
		count_address(destination, bytes);
}

SEC("tc")
int floor_tcx(struct __sk_buff *skb)
{
	const unsigned char *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	if (skb->protocol == bpf_htons(ETH_P_IP) && data + ETH_HLEN + sizeof(struct iphdr) <= end)
		account((const struct iphdr *)(data + ETH_HLEN));
	return NEXT;
}

SEC("socket/netfilter")
int floor_netfilter(struct bpf_nf_ctx *context)
{
	struct bpf_dynptr packet;
	struct iphdr copy;
	const struct iphdr *ip;
	if (extras.cast) {
		const struct sk_buff *skb = context->skb;
		ip = bpf_rdonly_cast(skb->head + skb->network_header, bpf_core_type_id_kernel(struct iphdr));
		account(ip);
		return ACCEPT;
	}
	if (bpf_dynptr_from_skb((struct __sk_buff *)context->skb, 0, &packet))
		return ACCEPT;
	ip = bpf_dynptr_slice(&packet, 0, &copy, sizeof copy);
	if (ip)
		account(ip);
	return ACCEPT;
}

char licence_name[] SEC("license") = "GPL"; /* what a netfilter program calls is for such programs only */
