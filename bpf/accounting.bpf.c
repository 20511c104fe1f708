// SPDX-License-Identifier: MIT
/*
 * Adds each packet to its rows, as sent and as received, in the generation that is open.
 *
 * One text, two places where it is attached: netfilter hooks (kernel 6.4), and tcx at chosen interfaces (6.6).
 * docs/explanation/bpf.md says what counts where; accounting.h, what user space shares with it.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "accounting.h"
#include "kernel.h"
#include "books.h"

static __always_inline void set_ipv4(struct packet *packet, __be32 source, __be32 destination)
{
	packet->is_ipv4 = 1;
	packet->source[0] = packet->destination[0] = 0;
	packet->source[1] = 0xffffull << 32 | bpf_ntohl(source);
	packet->destination[1] = 0xffffull << 32 | bpf_ntohl(destination);
}

static __always_inline void set_ipv6(struct packet *packet, const __be64 *source, const __be64 *destination)
{
	packet->is_ipv4 = 0;
	packet->source[0] = bpf_be64_to_cpu(source[0]);
	packet->source[1] = bpf_be64_to_cpu(source[1]);
	packet->destination[0] = bpf_be64_to_cpu(destination[0]);
	packet->destination[1] = bpf_be64_to_cpu(destination[1]);
}

SEC("netfilter")
int count_netfilter(struct bpf_nf_ctx *ctx)
{
	const __u64 number = generation;
	struct sk_buff *skb = ctx->skb;
	struct packet packet = {};

	if (!is_counting(number))
		return NF_ACCEPT;
	packet.bytes = skb->len;
	if (ctx->state->pf == NFPROTO_IPV4) {
		const struct iphdr *ip = AS(struct iphdr, skb->data);

		set_ipv4(&packet, ip->saddr, ip->daddr);
	} else {
		const struct ipv6hdr *ip = AS(struct ipv6hdr, skb->data);

		set_ipv6(&packet, (const __be64 *)&ip->saddr, (const __be64 *)&ip->daddr);
	}
	book(number, &packet);
	return NF_ACCEPT;
}

static __always_inline int count_frame(struct __sk_buff *skb)
{
	const __u64 number = generation;
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct packet packet = {};

	if (!is_counting(number))
		return TCX_NEXT;
	data += ETH_HLEN;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data;

		if ((void *)(ip + 1) > end)
			return TCX_NEXT;
		packet.bytes = bpf_ntohs(ip->tot_len);
		set_ipv4(&packet, ip->saddr, ip->daddr);
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = data;

		if ((void *)(ip + 1) > end)
			return TCX_NEXT;
		packet.bytes = sizeof(*ip) + bpf_ntohs(ip->payload_len);
		set_ipv6(&packet, (const __be64 *)&ip->saddr, (const __be64 *)&ip->daddr);
	} else {
		return TCX_NEXT;
	}
	book(number, &packet);
	return TCX_NEXT;
}

SEC("tcx/ingress")
int count_ingress(struct __sk_buff *skb)
{
	return count_frame(skb);
}

SEC("tcx/egress")
int count_egress(struct __sk_buff *skb)
{
	return count_frame(skb);
}

char _license[] SEC("license") = "Dual MIT/GPL";
