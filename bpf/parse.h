/* SPDX-License-Identifier: MIT */
/*
 * The bytes of any IP packet -> its headers: packet.rs in C, with the same answers, which one table of cases holds both to.
 * Whole packets without options or extension headers do not come here.
 */
#ifndef NETLEDGER_PARSE_H
#define NETLEDGER_PARSE_H

#define READABLE UNREADABLE_COUNT
#define EXTENSIONS_MAX 16
#define OPTIONS_MAX 16
#define IPPROTO_NO_NEXT_HEADER 59
#define IPPROTO_DCCP_ 33
#define IPPROTO_UDP_LITE 136
#define FRAGMENT_OFFSET 0x1fff
#define OPTION_JUMBO 0xc2
#define NOWHERE (~0u)

/* A packet that is being read. */
struct reading {
	struct bpf_dynptr frame;
	__u32 at;    /* its first byte, in the frame */
	__u32 there; /* the bytes that there are from it on, padding included */
	__u32 upper; /* where the upper layer's header starts, if that was asked for; or NOWHERE */
	__u8 needs_upper;
	__u8 is_later_fragment;
	__u64 claimed; /* the length that the header says; 0 if it says none */
	struct packet packet;
	__u8 buffer[sizeof(struct ipv6hdr)]; /* for what is not in the linear part; one, for there is little stack */
} __attribute__((aligned(8)));

/* So many bytes of the frame. */
static __always_inline const void *bytes_at(struct reading *reading, __u32 at, const __u32 count)
{
	return bpf_dynptr_slice(&reading->frame, at, reading->buffer, count);
}

static __always_inline int has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP || protocol == IPPROTO_UDP_LITE ||
	       protocol == IPPROTO_DCCP_;
}

/* `upper`: where the upper layer's header starts; the packet ends at `end`. */
static __always_inline void read_ports(struct reading *reading, __u32 upper, __u32 end, __u8 icmp)
{

	if (has_ports(reading->packet.protocol) && upper + 4 <= end) {
		const __be16 *ports = bytes_at(reading, reading->at + upper, 4);

		if (ports) {
			reading->packet.source_port = bpf_ntohs(ports[0]);
			reading->packet.destination_port = bpf_ntohs(ports[1]);
		}
	} else if (reading->packet.protocol == icmp && upper + 2 <= end) {
		const __u8 *kind = bytes_at(reading, reading->at + upper, 2);

		if (kind) {
			reading->packet.source_port = kind[0];
			reading->packet.destination_port = kind[1];
		}
	}
}

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

static __always_inline enum unreadable parse_ipv4(struct reading *reading)
{
	const struct iphdr *ip = bytes_at(reading, reading->at, sizeof(*ip));
	__u32 header_bytes, total;

	if (!ip || reading->there < sizeof(*ip))
		return UNREADABLE_SHORT;
	header_bytes = (*(const __u8 *)ip & 15) * 4;
	if (header_bytes < sizeof(*ip))
		return UNREADABLE_HEADER_LENGTH;
	total = bpf_ntohs(ip->tot_len);
	/* 0 is no error: so Linux marks what is above 64 KiB. */
	if (total && total < header_bytes)
		return UNREADABLE_TOTAL_LENGTH;
	set_ipv4(&reading->packet, ip->saddr, ip->daddr);
	reading->claimed = total;
	reading->packet.protocol = ip->protocol;
	reading->upper = NOWHERE;
	if (bpf_ntohs(ip->frag_off) & FRAGMENT_OFFSET) {
		reading->is_later_fragment = 1;
	} else {
		reading->upper = header_bytes;
		if (settings.ports)
			read_ports(reading, header_bytes, total && total < reading->there ? total : reading->there, IPPROTO_ICMP);
	}
	return READABLE;
}

/*
 * 1 if they are the same, else 0, without a branch: what the verifier knows of lengths is then the same on each way through a
 * loop, and it follows one of them only.
 */
static __always_inline __u32 is_same(__u32 a, __u32 b)
{
	__u32 difference = a ^ b;

	asm volatile("" : "+r"(difference)); /* else the compiler makes a branch of it */
	return (difference - 1) >> 31;
}

/* The payload in the jumbo option of the hop-by-hop header, or 0. */
static __always_inline __u32 jumbo_payload(struct reading *reading)
{
	__u32 option = sizeof(struct ipv6hdr) + 2, end;
	const __u8 *bytes = bytes_at(reading, reading->at + sizeof(struct ipv6hdr), 2);

	if (!bytes)
		return 0;
	end = sizeof(struct ipv6hdr) + (bytes[1] + 1) * 8;
	if (end > reading->there)
		end = reading->there;
	for (int i = 0; i < OPTIONS_MAX; i++) {
		if (option + 2 > end)
			return 0;
		bytes = bytes_at(reading, reading->at + option, 2);
		if (!bytes)
			return 0;
		if (bytes[0] == OPTION_JUMBO) {
			const __be32 *payload;

			if (bytes[1] != 4 || option + 6 > end)
				return 0;
			payload = bytes_at(reading, reading->at + option + 2, 4);
			return payload && bpf_ntohl(*payload) > 0xffff ? bpf_ntohl(*payload) : 0;
		}
		/* An option of kind 0 is one byte long, and has no length. */
		option += 1 + ((is_same(bytes[0], 0) - 1) & (bytes[1] + 1));
	}
	return 0;
}

static __always_inline int is_extension(__u8 header)
{
	const __u64 low = 1ull << IPPROTO_HOPOPTS | 1ull << IPPROTO_ROUTING | 1ull << IPPROTO_FRAGMENT | 1ull << IPPROTO_AH |
			  1ull << IPPROTO_DSTOPTS;

	return header < 64 ? low >> header & 1 : header == IPPROTO_MH;
}

/* Follows the extension headers; where the upper layer's header starts, or NOWHERE. */
static __always_inline __u32 walk(struct reading *reading, __u32 end)
{
	__u32 at = sizeof(struct ipv6hdr);

	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		const __u8 header = reading->packet.protocol;
		const __u8 *bytes;
		__u32 length, is_authentication;

		if (!is_extension(header))
			return at;
		if (at + 4 > end)
			return NOWHERE;
		bytes = bytes_at(reading, reading->at + at, 4);
		if (!bytes)
			return NOWHERE;
		/* In 8 bytes, less 1; of the authentication header in 4, less 2; a fragment's has none, and is 8 bytes long. */
		is_authentication = is_same(header, IPPROTO_AH);
		length = ((is_same(header, IPPROTO_FRAGMENT) - 1) & bytes[1]) + 1 + is_authentication;
		length <<= 3 - is_authentication;
		if (header == IPPROTO_MH && bytes[0] == IPPROTO_NO_NEXT_HEADER)
			return NOWHERE;
		reading->packet.protocol = bytes[0];
		if (header == IPPROTO_FRAGMENT && (bytes[2] << 8 | bytes[3]) >> 3) {
			reading->is_later_fragment = 1;
			return NOWHERE;
		}
		at += length;
		if (at > end)
			return NOWHERE;
	}
	return is_extension(reading->packet.protocol) ? NOWHERE : at;
}

static __always_inline enum unreadable parse_ipv6(struct reading *reading)
{
	const struct ipv6hdr *ip = bytes_at(reading, reading->at, sizeof(*ip));
	__u32 payload, end = reading->there;
	int is_known = 1;

	if (!ip || reading->there < sizeof(*ip))
		return UNREADABLE_SHORT;
	set_ipv6(&reading->packet, (const __be64 *)&ip->saddr, (const __be64 *)&ip->daddr);
	reading->packet.protocol = ip->nexthdr;
	payload = bpf_ntohs(ip->payload_len);
	/* What a length of 0 means: `zero_payload` of packet.rs says why. */
	if (!payload && reading->packet.protocol == IPPROTO_HOPOPTS) {
		payload = jumbo_payload(reading);
		is_known = payload != 0;
	} else if (!payload) {
		is_known = reading->packet.protocol != IPPROTO_TCP && reading->packet.protocol != IPPROTO_UDP &&
			   reading->packet.protocol != IPPROTO_ROUTING && reading->packet.protocol != IPPROTO_DSTOPTS;
	}
	reading->claimed = is_known ? sizeof(*ip) + (__u64)payload : 0;
	if (is_known && reading->claimed < end)
		end = reading->claimed;
	reading->upper = NOWHERE;
	if (settings.ports || reading->needs_upper) {
		reading->upper = walk(reading, end);
		if (reading->upper != NOWHERE && settings.ports)
			read_ports(reading, reading->upper, end, IPPROTO_ICMPV6);
	}
	return READABLE;
}

static __always_inline enum unreadable parse(struct reading *reading, __u8 version)
{
	const __u8 *first;

	if (!reading->there)
		return UNREADABLE_EMPTY;
	first = bytes_at(reading, reading->at, 1);
	/* Of another version than what carries it says: that is what is wrong with it, whatever else is. */
	if (!first || *first >> 4 != version)
		return UNREADABLE_VERSION;
	return version == 4 ? parse_ipv4(reading) : parse_ipv6(reading);
}

#endif
