// SPDX-License-Identifier: MIT
/*
 * Adds each packet to its rows, as sent and as received, in the generation that is open.
 *
 * One text, two places where it is attached: netfilter hooks (kernel 6.4), and tcx at chosen interfaces (6.6).
 * accounting.h has what user space shares with it; books.h, how a packet is booked; parse.h reads what is not plain.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "accounting.h"
#include "kernel.h"
#include "books.h"
#include "parse.h"
#include "interfaces.h"
#include "frames.h"

/* The beginnings of the upper layers' headers are alike: two ports, or ICMP's type and code. */
static __always_inline void set_ports(struct packet *packet, const struct udphdr *upper, __u8 icmp)
{
	if (packet->protocol == icmp) {
		const __u16 kind = bpf_ntohs(upper->source);

		packet->source_port = kind >> 8;
		packet->destination_port = kind & 0xff;
	} else if (has_ports(packet->protocol)) {
		packet->source_port = bpf_ntohs(upper->source);
		packet->destination_port = bpf_ntohs(upper->dest);
	}
}

/* A whole IPv4 packet without options, of which `there` bytes are there; else 0: then it is parsed. */
static __always_inline __u32 quick_ipv4(struct packet *packet, const struct iphdr *ip)
{
	const __u32 total = bpf_ntohs(ip->tot_len);

	if (*(const __u8 *)ip != 0x45 || total < sizeof(*ip))
		return 0;
	set_ipv4(packet, ip->saddr, ip->daddr);
	packet->protocol = ip->protocol;
	if (settings.ports && (ip->frag_off & bpf_htons(FRAGMENT_OFFSET) || total < sizeof(*ip) + 4))
		return 0;
	return total;
}

static __always_inline __u32 quick_ipv6(struct packet *packet, const struct ipv6hdr *ip)
{
	const __u32 payload = bpf_ntohs(ip->payload_len);

	if (*(const __u8 *)ip >> 4 != 6 || !payload)
		return 0;
	set_ipv6(packet, (const __be64 *)&ip->saddr, (const __be64 *)&ip->daddr);
	packet->protocol = ip->nexthdr;
	if (settings.ports && (is_extension(packet->protocol) || payload < 4))
		return 0;
	return sizeof(*ip) + payload;
}

/* At netfilter hooks a packet is as long as its buffer: so nft counts. */
static __noinline int parse_netfilter(struct bpf_nf_ctx *ctx, __u64 number)
{
	struct sk_buff *skb = ctx->skb;
	struct reading reading = {.there = skb->len};
	struct receipt *receipt;
	enum unreadable why;

	if (bpf_dynptr_from_skb((struct __sk_buff *)skb, 0, &reading.frame))
		return NF_ACCEPT;
	reading.packet.bytes = skb->len;
	reading.packet.source_place = ctx->state->in->ifindex;
	reading.packet.destination_place = ctx->state->out->ifindex;
	why = parse(&reading, ctx->state->pf == NFPROTO_IPV4 ? 4 : 6);
	if (why != READABLE) {
		book_unreadable(number, why, reading.packet.bytes);
		return NF_ACCEPT;
	}
	receipt = book_apart(number, &reading.packet);
	if (receipt && settings.ports && reading.is_later_fragment)
		ADD_RECEIPT(receipt->fragments_unknown, 1);
	return NF_ACCEPT;
}

/* Behind each IP header booked apart: what the other does not need is not kept at hand. */
static __always_inline int book_plain(struct packet *packet, const struct udphdr *upper, __u64 number)
{
	if (settings.ports)
		set_ports(packet, upper, packet->is_ipv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	book(number, packet);
	return 1;
}

static __always_inline int count_buffer(struct bpf_nf_ctx *ctx, __u64 number, const int is_ipv4)
{
	const struct nf_hook_state *state = ctx->state;
	struct sk_buff *skb = ctx->skb;
	const unsigned char *data = skb->data;
	const __u32 bytes = skb->len, linear = bytes - skb->data_len;
	const __u32 header = is_ipv4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	struct packet packet;
	__u32 total;

	/* IP headers are in the linear part here: they are read without a call. Whatever is not plain is parsed. */
	if (linear < header + (settings.ports ? 4 : 0))
		return 0;
	total = is_ipv4 ? quick_ipv4(&packet, AS(struct iphdr, data)) : quick_ipv6(&packet, AS(struct ipv6hdr, data));
	if (!total)
		return 0;
	packet.bytes = bytes;
	packet.source_port = packet.destination_port = 0;
	packet.source_place = packet.destination_place = 0;
	if (settings.place_mask) {
		packet.source_place = state->in->ifindex;
		packet.destination_place = state->out->ifindex;
	}
	return book_plain(&packet, AS(struct udphdr, data + header), number);
}

SEC("netfilter")
int count_netfilter(struct bpf_nf_ctx *ctx)
{
	const __u64 number = generation;
	int is_counted;

	if (!is_counting(number) || !is_asked_for(ctx->state, ctx->skb))
		return NF_ACCEPT;
	if (ctx->state->pf == NFPROTO_IPV4)
		is_counted = count_buffer(ctx, number, 1);
	else
		is_counted = count_buffer(ctx, number, 0);
	return is_counted ? NF_ACCEPT : parse_netfilter(ctx, number);
}

/* `at`: where the IP header starts. */
static __always_inline int count_plain(struct __sk_buff *skb, __u64 number, __u32 at, const int is_ipv4)
{
	void *ip = (void *)(long)skb->data + at, *end = (void *)(long)skb->data_end;
	void *upper = ip + (is_ipv4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
	struct packet packet;
	__u32 total;

	if (skb->gso_size || upper + (settings.ports ? 4 : 0) > end)
		return 0;
	total = is_ipv4 ? quick_ipv4(&packet, ip) : quick_ipv6(&packet, ip);
	if (!total || total > skb->len - at)
		return 0;
	packet.bytes = total;
	packet.source_port = packet.destination_port = 0;
	packet.source_place = packet.destination_place = 0;
	if (settings.place_mask)
		packet.source_place = packet.destination_place = skb->ifindex;
	return book_plain(&packet, upper, number);
}

/*
 * Of what is received. Packets to many receivers were met when they were sent: the kernel hands them back to those on this
 * machine.
 */
static __always_inline int is_for_us(__u32 kind)
{
	return kind != PACKET_LOOPBACK && (settings.others || kind != PACKET_OTHERHOST);
}

static __always_inline int count_frame(struct __sk_buff *skb, int is_received)
{
	const __u64 number = generation;
	int is_counted = 0;
	__u32 at;

	if (!is_counting(number) || (is_received && !is_for_us(skb->pkt_type)))
		return TCX_NEXT;
	at = network_at(bpf_cast_to_kern_ctx(skb));
	if (at > LINK_BYTES_MAX)
		return parse_frame(skb, number, at);
	if (skb->protocol == bpf_htons(ETH_P_IP))
		is_counted = count_plain(skb, number, at, 1);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		is_counted = count_plain(skb, number, at, 0);
	else
		is_counted = !is_tagged(skb->protocol);
	return is_counted ? TCX_NEXT : parse_frame(skb, number, at);
}

SEC("tcx/ingress")
int count_ingress(struct __sk_buff *skb)
{
	return count_frame(skb, 1);
}

SEC("tcx/egress")
int count_egress(struct __sk_buff *skb)
{
	return count_frame(skb, 0);
}

/* The kernel gives some of its functions to programs with a license that the GPL is compatible with only. */
char _license[] SEC("license") = "Dual MIT/GPL";

/* libbpf keeps what is in this section; the loader asks for it. */
const __u32 layout SEC("version") = LAYOUT;
